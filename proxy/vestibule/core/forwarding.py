"""Who the client is: the forwarding chain that trusted proxies vouch for, and the fields that tell it to the upstream.

A browser can write any header, so nothing counts but what a trusted proxy said, and ``Forwarded`` and ``X-Forwarded-*``
are always made anew here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

UNKNOWN = "unknown"
"""The address of a peer that has none, such as one on a Unix socket (RFC 7239, 6)."""
MAX_CHAIN = 32
"""Entries of a forwarding chain that are looked at, newest first; older ones are not believed."""
MAX_CHAIN_BYTES = 2048
"""Bytes at the newest end of each forwarding field that are looked at."""
CHAIN = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
"""The fields by which proxies tell of the client, in the order that `newest` gives them."""

# RFC 3986, 3.2.2 without user information and percent-encoding: what browsers put into Host.
_HOST = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# RFC 7239, 4: a forwarded-pair; the value is a token or a quoted string.
_PAIR = re.compile(rb'[ \t]*([A-Za-z]+)=([!#$%&\'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")[ \t]*')
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


class Client(NamedTuple):
    """Who asked. ``address``: IP address or ``unknown``; ``scheme``: http or https; ``host``: as in Host, may have a
    port.
    """

    address: str
    scheme: str
    host: str


class Resolved(NamedTuple):
    """The client, and the fields that tell the upstream of it."""

    client: Client
    lines: tuple[tuple[bytes, bytes], ...]


def is_host(value: bytes) -> bool:
    """Whether ``value`` is a host with an optional port and nothing else (no user information, no spaces, not
    empty).
    """
    return _HOST.fullmatch(value) is not None


def client_address(
    peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[str], scheme: str = "http"
) -> Client:
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
        elif name in CHAIN:
            said[name] = said[name] + b", " + value if name in said else value
    return resolve(peer, scheme, host, newest(said), tuple(trusted)).client


def newest(said: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes, bytes]:
    """The newest end of each field of `CHAIN`, empty where it is missing. said: name → the values of its lines, joined
    by commas."""
    if not said:
        return (b"", b"", b"", b"")
    forwarded, for_, proto, host = (_end(said.get(name, b"")) for name in CHAIN)
    return (forwarded, for_, proto, host)


def _end(chain: bytes) -> bytes:
    return chain if len(chain) <= MAX_CHAIN_BYTES else chain[-MAX_CHAIN_BYTES:].partition(b",")[2]


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
def resolve(
    peer: str | None, scheme: str, host: bytes, said: tuple[bytes, bytes, bytes, bytes], trusted: tuple[str, ...]
) -> Resolved:
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
    return Resolved(client, _forwarding(client, hops))


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


def _forwarding(client: Client, hops: list[str]) -> tuple[tuple[bytes, bytes], ...]:
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
