"""Content-Security-Policy: the lock behind the rewriting, and the site's own policies.

A page carries every policy it was given, and a load must pass all of them (CSP Level 3, section 3.4). So Vestibule adds
a *second* policy of its own, which names whom a page may contact under the visitor's choice, and leaves the site's to
the site: those are opened only for Vestibule's own parts, and only where they are closed to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

MAX_POLICY = 3072
"""Bytes. Proxies and servers refuse long headers; hosts beyond this are left out, which closes them."""

_OPEN = "data: blob: mediastream: filesystem: 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval'"


def lock(first_party: Iterable[str], allowed: Iterable[str], report: str, *, secure: bool = True) -> str:
    """The second policy: everything but ``first_party`` and ``allowed`` hosts is closed.

    first_party, allowed: host sources without scheme (``example.com``, ``*.example.com``). report: the path that
    violations are reported to. secure: whether the page comes over https; one over plain http may also load over it
    (``http:`` and ``ws:`` stand for their secure forms too, CSP3, section 6.7.2.8).
    """
    web, socket = ("https", "wss") if secure else ("http", "ws")
    head, tail = "default-src 'self'", f" {_OPEN}; report-uri {report}"
    hosts = list(dict.fromkeys((*first_party, *allowed)))
    # All hosts come before any WebSocket: pages load from many, and speak to few. A source with a path is a file's.
    sources = [f" {web}://{host}" for host in hosts]
    sources += [f" {socket}://{host}" for host in hosts if "/" not in host]
    room = MAX_POLICY - len(head) - len(tail)
    for source in sources:
        room -= len(source)
        if room < 0:
            break
        head += source
    return head + tail


@dataclass(frozen=True, slots=True)
class Parts:
    """What of Vestibule's own a page loads: absolute addresses, and the integrity hashes of script and style. answer,
    count: the scripts that the first one imports; what a trusted script imports is trusted under 'strict-dynamic'."""

    script: str
    script_hash: str
    answer: str
    count: str
    style: str
    style_hash: str
    origin: str


_FALLBACK = {
    "script-src-elem": ("script-src-elem", "script-src", "default-src"),
    "style-src-elem": ("style-src-elem", "style-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "form-action": ("form-action",),
}


def open_own(header: str, parts: Parts, keep_report: Callable[[str], bool]) -> str:
    """The site's own policy header (one or more policies), opened for ``parts`` where it is closed to them.

    keep_report: whether reports may go to an address of ``report-uri``; the others are left out, and so is
    ``report-to``, whose endpoints are named in headers that do not pass.
    """
    opened = []
    for policy in header.split(","):
        directives = _without_reports(_parsed(policy), keep_report)
        _open(directives, parts)
        opened.append(_written(directives))
    return ", ".join(filter(None, opened))


def open_meta(content: str, parts: Parts) -> str:
    """As `open_own`, for a policy in the page itself (``<meta http-equiv=content-security-policy>``). Reports are not
    sent for such ones (CSP3, section 3.3). One that is open to us already stays as it is written."""
    opened = []
    for policy in content.split(","):
        directives = _parsed(policy)
        before = _written(directives)
        _open(directives, parts)
        after = _written(directives)
        opened.append(policy if after == before else after)
    return ",".join(opened)


def _parsed(policy: str) -> dict[str, list[str]]:
    directives: dict[str, list[str]] = {}
    for text in policy.split(";"):
        tokens = text.split()
        if tokens:
            directives.setdefault(tokens[0].lower(), tokens[1:])
    return directives


def _written(directives: dict[str, list[str]]) -> str:
    return "; ".join(" ".join((name, *value)) for name, value in directives.items())


def _without_reports(directives: dict[str, list[str]], keep: Callable[[str], bool]) -> dict[str, list[str]]:
    directives.pop("report-to", None)
    if "report-uri" in directives:
        kept = [url for url in directives["report-uri"] if keep(url)]
        directives = {name: value for name, value in directives.items() if name != "report-uri" or kept}
        if kept:
            directives["report-uri"] = kept
    return directives


def _open(directives: dict[str, list[str]], parts: Parts) -> None:
    base = parts.origin + "/_privacy/"
    for need, sources, digest in (
        ("script-src-elem", (parts.script, parts.answer, parts.count), parts.script_hash),
        ("style-src-elem", (parts.style,), parts.style_hash),
        ("connect-src", (base,), ""),
        ("form-action", (base,), ""),
    ):
        _permit(directives, need, sources, digest, parts.origin)


def _permit(directives: dict[str, list[str]], need: str, sources: tuple[str, ...], digest: str, origin: str) -> None:
    name = next((name for name in _FALLBACK[need] if name in directives), None)
    if name is None:
        return
    tokens = directives[name]
    lowered = [token.lower() for token in tokens]
    # Under 'strict-dynamic' addresses do not count, only nonces and hashes do (CSP3, section 8.2); elsewhere an
    # address is safer to add than a hash, since a hash beside 'unsafe-inline' switches the site's inline scripts off.
    if digest and "'strict-dynamic'" in lowered and need == "script-src-elem":
        additions = [f"'{digest}'"]
    elif _covers(lowered, origin):
        return
    else:
        additions = [source.partition("?")[0] for source in sources]
    opened = [token for token in tokens if token.lower() != "'none'"]
    opened += [addition for addition in additions if addition not in opened]
    # A directive that stands in for another is left as it is: only what our part needs is opened.
    directives[name if name != "default-src" else _own_name(need)] = opened


def _own_name(need: str) -> str:
    """The directive that is written where only ``default-src`` is given: the one that older browsers know too."""
    return need.removesuffix("-elem")


def _covers(tokens: list[str], origin: str) -> bool:
    scheme, _, host = origin.lower().partition("://")
    return any(token in ("*", "'self'", f"{scheme}:", origin.lower(), host) for token in tokens)
