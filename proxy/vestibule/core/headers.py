"""Which header fields cross the proxy.

This module guards what the upstream believes about a request. A browser can write any header; so the fields that speak
for the proxy (``Forwarded``, ``X-Forwarded-*`` …) are always made anew (by `forwarding`), and names that only *look*
different to us but become the same variable in a CGI- or WSGI-like upstream (``X_Forwarded_For``, ``Content_Length``)
are dropped.

Header lists are ASGI's: pairs of bytes, names in lower case, in the order received.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vestibule.core.forwarding import CHAIN, Client, is_trusted, newest, resolve

Header = tuple[bytes, bytes]

VIA = b"1.1 vestibule"
"""Our entry in ``Via`` (RFC 9110, 7.6.3): protocol and pseudonym, so that no host name is told."""


# RFC 9110, 7.6.1, with the two that only ever existed between neighbours; `trailer` and `te` go since trailers do.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# Fields by which other proxies tell the client's address or the original URL. Never taken from an untrusted peer.
_FORGEABLE = frozenset(
    {
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    }
)

# Dropped always. `proxy` becomes HTTP_PROXY in CGI-like upstreams; `expect` is the caller's to repeat.
_DROPPED = HOP_BY_HOP | {b"expect", b"forwarded", b"proxy"}

# Sent by browsers all day long: known to be end-to-end, so they skip the closer look.
_ORDINARY = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"dnt",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"pragma",
        b"priority",
        b"range",
        b"referer",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-user",
        b"sec-gpc",
        b"upgrade-insecure-requests",
        b"user-agent",
        b"x-requested-with",
    }
)

_GUARDED = _ORDINARY | _DROPPED | _FORGEABLE | {b"cookie", b"host", b"via"}
_GUARDED_PREFIXES = (b"vestibule-", b"x-forwarded-", b"sec-")
_ODD = re.compile(rb"[^a-z0-9-]")
_PLAIN_CONNECTION = frozenset({b"", b"close", b"keep-alive", b"upgrade"})
_TOUCHED = HOP_BY_HOP | {b"content-length", b"content-location", b"location", b"set-cookie"}
_NEVER_NAMED = frozenset({b"host", b"content-length"})

_ORIGIN = re.compile(rb"((?:https?:)?//[^/?#\\]*)", re.IGNORECASE)


_NOBODY = Client("", "", "")
_OWN = frozenset({b"content-location", b"location", b"set-cookie"})


def hashable(headers: Iterable[Sequence[bytes]]) -> tuple[Header, ...]:
    """The same fields as a key: ASGI allows for any iterable of any pairs."""
    fields = tuple(headers)
    try:
        hash(fields)
    except TypeError:
        return tuple(map(tuple, fields))  # type: ignore[arg-type]  # each is a pair
    return fields  # type: ignore[return-value]


def is_disguised(name: bytes) -> bool:
    """Whether a lower-case name would be taken for one that means something by an upstream that folds ``_`` and the
    like.
    """
    if _ODD.search(name) is None:
        return False
    plain = _ODD.sub(b"-", name)
    return plain in _GUARDED or plain.startswith(_GUARDED_PREFIXES)


def request_headers(
    headers: Iterable[Header], *, peer: str | None, scheme: str, trusted: tuple[str, ...]
) -> tuple[list[Header], Client]:
    """The fields of a request for the upstream, and its client.

    ``Host`` comes first and is the public one. ``Content-Length`` stays; ``Transfer-Encoding`` and ``Expect`` are the
    caller's to add, since it frames the body. Several ``Cookie`` lines become one (RFC 9113, 8.2.3).
    """
    kept: list[Header] = [(b"host", b"")]
    host = b""
    cookies: list[bytes] = []
    via: list[bytes] = []
    named: set[bytes] = set()
    said: dict[bytes, bytes] = {}
    forgeable = False
    for pair in headers:
        name, value = pair
        if name in _ORDINARY:
            kept.append(pair)
        elif name == b"host":
            host = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"connection" and value == b"keep-alive":
            continue
        elif name == b"connection":
            named |= {token.strip().lower() for token in value.split(b",")} - _PLAIN_CONNECTION
        elif name == b"via":
            via.append(value)
        elif name in CHAIN:
            said[name] = said[name] + b", " + value if name in said else value
        elif name in _DROPPED or name.startswith(b"x-forwarded-") or is_disguised(name):
            continue
        else:
            forgeable = forgeable or name in _FORGEABLE
            kept.append(pair)
    if cookies:
        kept.append((b"cookie", cookies[0] if len(cookies) == 1 else b"; ".join(cookies)))
    if forgeable and not is_trusted(peer, trusted):
        kept = [pair for pair in kept if pair[0] not in _FORGEABLE]
    if named:
        named -= _NEVER_NAMED
        kept = [pair for pair in kept if pair[0] not in named]
    client, lines = resolve(peer, scheme, host, newest(said), trusted)
    kept[0] = (b"host", client.host.encode("latin-1"))
    kept += lines
    kept.append((b"via", b", ".join([*via, VIA]) if via else VIA))
    return kept, client


def response_headers(
    headers: Iterable[Header], *, status: int, origins: frozenset[bytes], client: Client
) -> list[Header]:
    """The fields of an upstream's answer for the client.

    ``origins``: the upstream's own origins in lower case (``http://127.0.0.1:3000``, ``//127.0.0.1:3000`` …), which
    become ``client``'s in ``Location`` and ``Content-Location``; a cookie's ``Domain`` that names the upstream is
    removed, which makes it the public host's. A length is dropped where there can be no body (RFC 9110, 8.6).
    """
    kept: list[Header] = []
    named: set[bytes] = set()
    for pair in headers:
        name, value = pair
        if name not in _TOUCHED:
            kept.append(pair)
        elif name == b"location" or name == b"content-location":
            kept.append((name, _public(value, origins, client)))
        elif name == b"set-cookie":
            kept.append((name, _own_cookie(value, origins)))
        elif name == b"content-length":
            if status != 204 and status != 304:
                kept.append(pair)
        elif name == b"connection" and value != b"keep-alive":
            named |= {token.strip().lower() for token in value.split(b",")} - _PLAIN_CONNECTION
    if named:
        named -= _NEVER_NAMED
        kept = [pair for pair in kept if pair[0] not in named]
    kept.append((b"via", VIA))
    return kept


def common_headers(headers: Iterable[Header], *, status: int) -> tuple[Header, ...] | None:
    """What ``response_headers`` returns whoever asks; None where it depends on the client or the upstream."""
    if any(name in _OWN for name, _ in headers):
        return None
    return tuple(response_headers(headers, status=status, origins=frozenset(), client=_NOBODY))


def _public(value: bytes, origins: frozenset[bytes], client: Client) -> bytes:
    match = _ORIGIN.match(value)
    if match is None or match[1].lower() not in origins or not client.host:
        return value
    prefix = b"" if value.startswith(b"//") else client.scheme.encode("latin-1") + b":"
    return prefix + b"//" + client.host.encode("latin-1") + value[match.end() :]


def _own_cookie(value: bytes, origins: frozenset[bytes]) -> bytes:
    """Without a ``Domain`` attribute that names the upstream's own host (RFC 6265, 4.1.2.3)."""
    head, separator, attributes = value.partition(b";")
    if not separator or b"omain" not in attributes.lower():
        return value
    kept = [part for part in attributes.split(b";") if not _names_upstream(part, origins)]
    return b";".join([head, *kept])


def _names_upstream(attribute: bytes, origins: frozenset[bytes]) -> bool:
    name, _, domain = attribute.partition(b"=")
    return name.strip().lower() == b"domain" and domain.strip().lower().lstrip(b".") in origins


def own_origins(scheme: str, host: str, port: int) -> frozenset[bytes]:
    """What an upstream at ``scheme://host:port`` may call itself, in lower case: its origin, the same without scheme or
    default port, and the bare host that a cookie's ``Domain`` names."""
    bare = f"[{host}]" if ":" in host else host
    authorities = {f"//{bare}:{port}"}
    if port == {"http": 80, "https": 443}.get(scheme):
        authorities.add(f"//{bare}")
    names = authorities | {f"{scheme}:{authority}" for authority in authorities}
    return frozenset(name.lower().encode("latin-1") for name in [*names, bare])
