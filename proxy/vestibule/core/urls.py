"""Who is contacted: URL references resolved as browsers resolve them (WHATWG URL Standard).

A reference that browsers send to a tracker must never look first-party here. So this follows the standard where it
decides about the host (white space and control characters, backslashes, missing or surplus slashes, user information,
ports, percent-encoding, IDNA, numeric hosts, trailing dots) and stays coarse where it doesn't: user information and
fragments are dropped, and hosts that no resolver knows may pass as hosts of their own.

A reference that browsers would refuse gives None; callers fail closed on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import idna

_STRIP = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = str.maketrans("", "", "\t\n\r")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
# What most references look like; the last label starts with a letter, so that the host is no IPv4 number.
_PLAIN = re.compile(r"(https?)://((?:[a-z0-9][a-z0-9\-]*\.)+[a-z][a-z0-9\-]*)(/[A-Za-z0-9_\-~/]*)?(?=[?#]|\Z)")
_PORT = re.compile(r"(.*):([^:\]]*)", re.DOTALL)
_DEFAULT_PORT = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "file": None}
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")
_SLASHES = re.compile(r"[/\\]*")
_AUTHORITY_END = re.compile(r"[/\\?#]")
_SINGLE_DOT = frozenset({".", "%2e"})
_DOUBLE_DOT = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
_KEPT_IN_PATH = "!$%&'()*+,/:;=@[]|~^"
_KEPT_IN_QUERY = "!$%&()*+,/:;=?@[]|~^{}\\`"
_LABEL_DOTS = re.compile("[.\u3002\uff0e\uff61]")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a URL contacts.

    scheme: lower case, without the colon.
    host: lower-case ASCII (IDNA names in their ``xn--`` form), no trailing dot; IPv4 in dotted decimal whatever its
        spelling, IPv6 compressed in square brackets; '' for schemes that contact nobody (``data``, ``blob``, …).
    port: None for the scheme's default.
    path: for hosts from '/' on, dot segments resolved, no query; for other schemes what follows the colon.
    """

    scheme: str
    host: str
    port: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL: what it contacts, and its query ('' or from '?' on)."""

    target: Target
    query: str = ""

    def __str__(self) -> str:
        target = self.target
        if not target.host and target.scheme != "file":
            return f"{target.scheme}:{target.path}{self.query}"
        port = "" if target.port is None else f":{target.port}"
        return f"{target.scheme}://{target.host}{port}{target.path}{self.query}"

    def join(self, reference: str) -> Url | None:
        """Resolve a reference with this URL as the base; None where browsers refuse it."""
        return _parse(reference, self)


def parse(text: str) -> Url | None:
    """Parse an absolute URL; None where it is none."""
    return _parse(text, None)


def resolve(reference: str, base: str) -> Target | None:
    """Tell whom ``reference`` contacts in a page whose base URL is ``base``; None: unparsable, fail closed."""
    url = _join(reference, base)
    return None if url is None else url.target


def absolute(reference: str, base: str) -> str | None:
    """Return the absolute URL of ``reference`` as normalised text, without user information and fragment."""
    url = _join(reference, base)
    return None if url is None else str(url)


def _join(reference: str, base: str) -> Url | None:
    plain = _parse_plain(reference)
    return plain if plain is not None else _parse(reference, _parse(base, None))


def _parse_plain(reference: str) -> Url | None:
    match = _PLAIN.match(reference)
    if match is None:
        return None
    scheme, host, path = match.groups()
    if "xn--" in host:
        return None
    rest = reference[match.end() :]
    if rest and (rest[0] != "#" and not _PLAIN_QUERY.fullmatch(rest)):
        return None
    query = rest.partition("#")[0]
    return Url(Target(scheme, host, None, path or "/"), query)


_PLAIN_QUERY = re.compile(r"\?[A-Za-z0-9_.\-~/=&%+:,;]*(?:#[^\t\n\r]*)?")


def _parse(reference: str, base: Url | None) -> Url | None:
    plain = _parse_plain(reference)
    if plain is not None:
        return plain
    text = reference.strip(_STRIP).translate(_TAB_OR_NEWLINE)
    match = _SCHEME.match(text)
    if match is None:
        return None if base is None else _relative(text, base)
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme not in _DEFAULT_PORT:
        return Url(Target(scheme, "", None, rest.partition("#")[0]))
    if scheme == "file":
        return _file(rest)
    if base is not None and scheme == base.target.scheme and _leading_slashes(rest) < 2:
        return _relative(rest, base)
    return _with_authority(scheme, rest[_slash_run(rest) :])


def _leading_slashes(text: str) -> int:
    return min(_slash_run(text), 2)


def _slash_run(text: str) -> int:
    match = _SLASHES.match(text)
    return match.end() if match else 0


def _relative(text: str, base: Url) -> Url | None:
    target = base.target
    if target.scheme not in _DEFAULT_PORT:
        # Nothing but a fragment resolves against an opaque base (about:srcdoc, data:, blob:).
        return base if text.startswith("#") else None
    slashes = _slash_run(text)
    if slashes >= 2:
        return _file(text) if target.scheme == "file" else _with_authority(target.scheme, text[slashes:])
    text = text.partition("#")[0]
    path, mark, query = text.partition("?")
    query = _encode_query(mark + query)
    if not path:
        return Url(target, query if mark else base.query)
    if not slashes:
        path = target.path[: target.path.rfind("/") + 1] + path
    return Url(Target(target.scheme, target.host, target.port, _normal_path(path)), query)


def _with_authority(scheme: str, text: str) -> Url | None:
    end = _AUTHORITY_END.search(text)
    authority, rest = (text, "") if end is None else (text[: end.start()], text[end.start() :])
    authority = authority.rpartition("@")[2]
    port: int | None = None
    match = _PORT.fullmatch(authority)
    if match is not None:
        authority, digits = match[1], match[2]
        if digits:
            if not (digits.isascii() and digits.isdecimal()) or int(digits[-9:]) > 65535 or len(digits.lstrip("0")) > 5:
                return None
            port = int(digits)
    host = normal_host(authority)
    if not host:
        return None
    if port == _DEFAULT_PORT[scheme]:
        port = None
    path, mark, query = rest.partition("#")[0].partition("?")
    return Url(Target(scheme, host, port, _normal_path(path)), _encode_query(mark + query))


def _file(rest: str) -> Url | None:
    slashes = _slash_run(rest)
    if slashes != 2:
        return Url(Target("file", "", None, _normal_path(rest[slashes:].partition("#")[0].partition("?")[0])))
    return _with_authority("file", rest[2:]) or Url(Target("file", "", None, "/"))


# Paths and queries that are normal already.
_NORMAL_PATH = re.compile(r"(?:/(?:[A-Za-z0-9_\-~!$&'()*+,:;=@][A-Za-z0-9_.\-~!$&'()*+,:;=@]*)?)+")
_NORMAL_QUERY = re.compile(r"[A-Za-z0-9_.\-~!$%&()*+,/:;=?@\[\]|]*")


def _normal_path(path: str) -> str:
    if _NORMAL_PATH.fullmatch(path):
        return path
    segments: list[str] = []
    parts = path.replace("\\", "/").lstrip("/").split("/")
    if path[:1] in ("/", "\\"):
        # Empty segments count: only the one leading slash is the root.
        parts = path.replace("\\", "/")[1:].split("/")
    last = len(parts) - 1
    for index, part in enumerate(parts):
        lowered = part.lower() if "%" in part or "." in part else part
        if lowered in _DOUBLE_DOT:
            if segments:
                segments.pop()
            if index == last:
                segments.append("")
        elif lowered in _SINGLE_DOT:
            if index == last:
                segments.append("")
        else:
            segments.append(part)
    return quote("/" + "/".join(segments), safe=_KEPT_IN_PATH, errors="replace")


def _encode_query(query: str) -> str:
    if _NORMAL_QUERY.fullmatch(query):
        return query
    return quote(query, safe=_KEPT_IN_QUERY, errors="replace")


def normal_host(text: str) -> str | None:
    """Normalise a host as it stands in a URL of a special scheme (see `Target`); None where browsers refuse it."""
    if text.startswith("["):
        return _ipv6(text[1:-1]) if text.endswith("]") else None
    if "%" in text:
        # Lone surrogates stand for what a page's encoding doesn't know: no host may hold what browsers make of them.
        text = unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    ascii_host = _to_ascii(text)
    if ascii_host is None or _FORBIDDEN_IN_HOST.search(ascii_host):
        return None
    ascii_host = ascii_host.removesuffix(".")
    if not ascii_host or ascii_host.endswith("."):
        return None  # Of hosts that end in two dots browsers say the same, or fail to look them up.
    last = ascii_host.rpartition(".")[2]
    if _ends_in_number(last):
        return _ipv4(ascii_host)
    return ascii_host


def _to_ascii(text: str) -> str | None:
    if text.isascii() and "xn--" not in text.lower():
        return text.lower()
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
    except (idna.IDNAError, IndexError):
        return None
    labels = _LABEL_DOTS.split(mapped)
    try:
        return ".".join(
            label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels
        )
    except UnicodeError:
        return None


def _ends_in_number(label: str) -> bool:
    return label[:1].isdecimal() and (label.isdecimal() or _number(label) is not None)


def _number(text: str) -> int | None:
    """One part of an IPv4 host: decimal, octal with a leading 0, hexadecimal with 0x."""
    if len(text) >= 2 and text[0] == "0":
        base, digits = (16, text[2:]) if text[1] in "xX" else (8, text[1:])
    else:
        base, digits = 10, text
    if not digits:
        return 0 if base != 10 else None
    if len(digits) > 64 or not re.fullmatch(r"[0-9a-fA-F]+" if base == 16 else r"[0-9]+", digits):
        return None
    try:
        return int(digits, base)
    except ValueError:
        return None


def _ipv4(host: str) -> str | None:
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers = [_number(part) for part in parts]
    address = 0
    for index, number in enumerate(numbers):
        if number is None:
            return None
        if index < len(numbers) - 1:
            if number > 255:
                return None
            address += number << (8 * (3 - index))
        elif number >= 256 ** (5 - len(numbers)):
            return None
        else:
            address += number
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


_PIECE = re.compile(r"[0-9A-Fa-f]{1,4}")
_QUAD = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")


def _ipv6(text: str) -> str | None:
    head, compressed, tail = text.partition("::")
    if "::" in tail or (compressed and tail.startswith(":")):
        return None
    before, after = _pieces(head, last=not compressed), _pieces(tail, last=True)
    if before is None or after is None:
        return None
    missing = 8 - len(before) - len(after)
    if (compressed and missing < 1) or (not compressed and missing):
        return None
    return f"[{_compress([*before, *([0] * missing), *after])}]"


def _pieces(text: str, last: bool) -> list[int] | None:
    if not text:
        return []
    pieces: list[int] = []
    parts = text.split(":")
    for index, part in enumerate(parts):
        if last and index == len(parts) - 1 and _QUAD.fullmatch(part):
            a, b, c, d = (int(number) for number in part.split("."))
            if max(a, b, c, d) > 255:
                return None
            pieces += [a << 8 | b, c << 8 | d]
        elif _PIECE.fullmatch(part):
            pieces.append(int(part, 16))
        else:
            return None
    return pieces


def _compress(pieces: list[int]) -> str:
    best, best_length, index = -1, 1, 0
    while index < 8:
        end = index
        while end < 8 and pieces[end] == 0:
            end += 1
        if end - index > best_length:
            best, best_length = index, end - index
        index = max(end, index + 1)
    texts = [f"{piece:x}" for piece in pieces]
    if best < 0:
        return ":".join(texts)
    return ":".join(texts[:best]) + "::" + ":".join(texts[best + best_length :])
