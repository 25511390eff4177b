"""Which header fields cross the proxy, and who the client is.

This module guards what the upstream believes about a request. A browser can write any header; so the fields that speak
for the proxy (``Forwarded``, ``X-Forwarded-*`` …) are always made anew here, from what ``trusted_proxies`` said and
nothing else, and names that only *look* different to us but become the same variable in a CGI- or WSGI-like upstream
(``X_Forwarded_For``, ``Content_Length``) are dropped.

Header lists are ASGI's: pairs of bytes, names in lower case, in the order received.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

Header = tuple[bytes, bytes]

VIA = b"1.1 vestibule"
"""Our entry in ``Via`` (RFC 9110, 7.6.3): protocol and pseudonym, so that no host name is told."""

UNKNOWN = "unknown"
"""The address of a peer that has none, such as one on a Unix socket (RFC 7239, 6)."""

MAX_CHAIN = 32
"""Entries of a forwarding chain that are looked at, newest first; older ones are not believed."""

MAX_CHAIN_BYTES = 2048
"""Bytes at the newest end of each forwarding field that are looked at."""

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

# RFC 3986, 3.2.2 without user information and percent-encoding: what browsers put into Host.
_HOST = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# RFC 7239, 4: a forwarded-pair; the value is a token or a quoted string.
_PAIR = re.compile(rb'[ \t]*([A-Za-z]+)=([!#$%&\'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")[ \t]*')
_ORIGIN = re.compile(rb"((?:https?:)?//[^/?#\\]*)", re.IGNORECASE)
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


class Client(NamedTuple):
    """Who asked. ``address``: IP address or ``unknown``; ``scheme``: http or https; ``host``: as in Host, may have a
    port.
    """

    address: str
    scheme: str
    host: str


_NOBODY = Client("", "", "")
_OWN = frozenset({b"content-location", b"location", b"set-cookie"})


class _Resolved(NamedTuple):
    client: Client
    lines: tuple[Header, ...]


def hashable(headers: Iterable[Sequence[bytes]]) -> tuple[Header, ...]:
    """The same fields as a key: ASGI allows for any iterable of any pairs."""
    fields = tuple(headers)
    try:
        hash(fields)
    except TypeError:
        return tuple(map(tuple, fields))  # type: ignore[arg-type]  # each is a pair
    return fields  # type: ignore[return-value]


def is_host(value: bytes) -> bool:
    """Whether ``value`` is a host with an optional port and nothing else (no user information, no spaces, not
    empty).
    """
    return _HOST.fullmatch(value) is not None


def is_disguised(name: bytes) -> bool:
    """Whether a lower-case name would be taken for one that means something by an upstream that folds ``_`` and the
    like.
    """
    if _ODD.search(name) is None:
        return False
    plain = _ODD.sub(b"-", name)
    return plain in _GUARDED or plain.startswith(_GUARDED_PREFIXES)


def client_address(peer: str | None, headers: Iterable[Header], trusted: Sequence[str], scheme: str = "http") -> Client:
    """The client behind the peer: the newest address in the forwarding chain that is not itself a trusted proxy.

    ``peer``: address of the other end of the connection, None on a Unix socket. ``scheme``: of that connection.
    ``trusted``: addresses or networks in CIDR form; ``unix:`` stands for every peer on a Unix socket. Where the peer is
    not trusted, nothing it says about others counts. ``X-Forwarded-For`` wins over ``Forwarded`` where both are
    present: front servers that know only the former pass the latter on as the browser wrote it.
    """
    host = b""
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"host":
            host = value
        elif name in _CHAIN:
            said[name] = said[name] + b", " + value if name in said else value
    return _resolve(peer, scheme, host, _said(said), tuple(trusted)).client


_CHAIN = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")


def _said(said: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes, bytes]:
    if not said:
        return (b"", b"", b"", b"")
    forwarded, for_, proto, host = (_newest(said.get(name, b"")) for name in _CHAIN)
    return (forwarded, for_, proto, host)


def _newest(chain: bytes) -> bytes:
    return chain if len(chain) <= MAX_CHAIN_BYTES else chain[-MAX_CHAIN_BYTES:].partition(b",")[2]


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
        elif name in _CHAIN:
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
    client, lines = _resolve(peer, scheme, host, _said(said), trusted)
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


def is_trusted(peer: str | None, trusted: tuple[str, ...]) -> bool:
    """Whether ``peer`` (None: on a Unix socket) may speak for others."""
    if peer is None:
        return "unix:" in trusted
    return _in_networks(peer, trusted)


@lru_cache(maxsize=4096)
def _in_networks(address: str, trusted: tuple[str, ...]) -> bool:
    canonical = canonical_address(address)
    if canonical is None:
        return False
    ip = ipaddress.ip_address(canonical)
    return any(ip in ipaddress.ip_network(entry, strict=False) for entry in trusted if entry != "unix:")


def canonical_address(text: str) -> str | None:
    """An IP address in its one spelling, without port, brackets and zone, IPv4 out of its IPv6 mapping; None if it is
    none.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


@lru_cache(maxsize=1024)
def _resolve(
    peer: str | None, scheme: str, host: bytes, said: tuple[bytes, bytes, bytes, bytes], trusted: tuple[str, ...]
) -> _Resolved:
    """Walk the chain from the newest entry towards the oldest as long as trusted proxies vouch for it."""
    address = (canonical_address(peer) if peer is not None else None) or UNKNOWN
    public_scheme = _SCHEMES.get(scheme.encode("latin-1"), "http")
    hops = [address]
    if is_trusted(peer, trusted):
        for hop_address, hop_scheme, hop_host in _newest_first(said):
            public_scheme = hop_scheme or public_scheme
            host = hop_host or host
            if hop_address is None:
                break
            address = hop_address
            hops.insert(0, address)
            if not _in_networks(address, trusted):
                break
    client = Client(address, public_scheme, host.decode("latin-1"))
    return _Resolved(client, _forwarding(client, hops))


def _newest_first(said: tuple[bytes, bytes, bytes, bytes]) -> list[tuple[str | None, str, bytes]]:
    forwarded, for_, proto, host = said
    if forwarded and not (for_ or proto or host):
        # A browser may have sent an unbalanced quote: then only what the last proxy appended is looked at.
        return _parse_forwarded(forwarded) or _parse_forwarded(forwarded.rpartition(b",")[2])
    addresses = _split(for_)
    schemes = _split(proto)
    hosts = _split(host)
    chain: list[tuple[str | None, str, bytes]] = []
    for index in range(min(max(len(addresses), 1), MAX_CHAIN)):
        entry = canonical_address(addresses[index].decode("latin-1")) if index < len(addresses) else None
        # A shorter list was written by a proxy further out that overwrites it: its oldest entry holds for all before.
        hop_scheme = _SCHEMES.get(schemes[min(index, len(schemes) - 1)].lower(), "") if schemes else ""
        hop_host = hosts[min(index, len(hosts) - 1)] if hosts else b""
        chain.append((entry, hop_scheme, hop_host if is_host(hop_host) else b""))
    return chain


def _split(value: bytes) -> list[bytes]:
    return [entry.strip() for entry in reversed(value.split(b","))] if value else []


def _parse_forwarded(value: bytes) -> list[tuple[str | None, str, bytes]]:
    """RFC 7239, 4: newest first, or nothing where the grammar is broken."""
    elements: list[dict[bytes, bytes]] = [{}]
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is None:
            return []
        text = match[2]
        if text.startswith(b'"'):
            text = re.sub(rb"\\(.)", rb"\1", text[1:-1])
        elements[-1][match[1].lower()] = text
        position = match.end()
        separator = value[position : position + 1]
        if separator == b",":
            elements.append({})
        elif separator not in (b";", b""):
            return []
        position += 1
    chain: list[tuple[str | None, str, bytes]] = []
    for element in reversed(elements[-MAX_CHAIN:]):
        host = element.get(b"host", b"")
        chain.append(
            (
                canonical_address(element.get(b"for", b"").decode("latin-1")),
                _SCHEMES.get(element.get(b"proto", b"").lower(), ""),
                host if is_host(host) else b"",
            )
        )
    return chain


def _forwarding(client: Client, hops: list[str]) -> tuple[Header, ...]:
    """The lines that tell the upstream: oldest hop first, as every reader of these expects."""
    first = f"for={_node(hops[0])};proto={client.scheme};host={_quoted(client.host)}"
    forwarded = ", ".join([first, *(f"for={_node(hop)}" for hop in hops[1:])])
    return (
        (b"forwarded", forwarded.encode("latin-1")),
        (b"x-forwarded-for", ", ".join(hops).encode("latin-1")),
        (b"x-forwarded-proto", client.scheme.encode("latin-1")),
        (b"x-forwarded-host", client.host.encode("latin-1")),
    )


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _quoted(host: str) -> str:
    return f'"{host}"' if ":" in host else host


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
