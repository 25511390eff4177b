"""Makes ``proxy/vestibule/catalogue/country.mmdb`` from a country database with a ``country_code`` per network.

The source is the file ``geo-whois-asn-country.mmdb`` of the npm package ``@ip-location-db/geo-whois-asn-country-mmdb``.
The result has MaxMind's Country layout, which ``geoip2`` reads, and knows no network smaller than IPv4 /24 or IPv6 /48:
addresses are never looked up in more detail, and so the file stays small. Where a network of that size is split, the
country with the most addresses in it stands for all of it. The same source always gives the same bytes.

Usage: ``python tools/geoip.py SOURCE.mmdb [TARGET.mmdb]``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import maxminddb

from vestibule import catalogue

Network = IPv4Network | IPv6Network
CATALOGUE = Path(__file__).resolve().parent.parent / "proxy" / "vestibule" / "catalogue"
FINEST = {4: 24, 6: 48}
IPV4_DEPTH = 96
"""IPv4 networks lie under ::/96 of the tree."""

_SEPARATOR = b"\0" * 16
_MARKER = b"\xab\xcd\xefMaxMind.com"

_SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
)
SPECIAL = [(int(net.network_address), int(net.broadcast_address)) for net in map(IPv4Network, _SPECIAL)]
GLOBAL_IPV6 = IPv6Network("2000::/3")


def is_global(network: Network) -> bool:
    """Whether addresses of a network are anyone's on the internet (IANA special-purpose address registries)."""
    if isinstance(network, IPv6Network):
        return network.subnet_of(GLOBAL_IPV6)
    address = int(network.network_address)
    return not any(first <= address <= last for first, last in SPECIAL)


class Tree:
    """A binary tree of network prefixes. Node ``n`` has its branches at ``2n`` and ``2n + 1`` of ``branches``: 0 for
    nothing, a node's number, or ``-country`` (countries are counted from 1)."""

    def __init__(self) -> None:
        self.branches = [0, 0]

    def insert(self, prefix: int, length: int, country: int) -> None:
        """Give a network to a country. prefix: its ``length`` leading bits. Networks come in any order, disjoint."""
        at = 0
        for depth in range(length):
            slot = 2 * at + (prefix >> (length - 1 - depth) & 1)
            if depth == length - 1:
                self.branches[slot] = -country
                return
            if self.branches[slot] <= 0:
                self.branches[slot] = len(self.branches) // 2
                self.branches += (0, 0)
            at = self.branches[slot]

    def fold(self) -> None:
        """Make one network of two neighbours in the same country, then number the nodes that are left anew."""
        # A child was always made after its parent, so that going backwards meets children first.
        for at in range(len(self.branches) // 2 - 1, 0, -1):
            left, right = (self._leaf(2 * at + side) for side in (0, 1))
            self.branches[2 * at], self.branches[2 * at + 1] = left, right
        for slot in (0, 1):
            self.branches[slot] = self._leaf(slot)
        kept, queue = [0, 0], [(0, 0)]
        for old, new in queue:
            for side in (0, 1):
                branch = self.branches[2 * old + side]
                if branch > 0:
                    queue.append((branch, len(kept) // 2))
                    branch = len(kept) // 2
                    kept += (0, 0)
                kept[2 * new + side] = branch
        self.branches = kept

    def _leaf(self, slot: int) -> int:
        branch = self.branches[slot]
        if branch > 0 and self.branches[2 * branch] == self.branches[2 * branch + 1] <= 0:
            return self.branches[2 * branch]
        return branch


def coarse(networks: Iterable[tuple[Network, str]]) -> Iterator[tuple[int, int, int, str]]:
    """Cut networks at the finest size that is kept: (IP version, leading bits, how many bits, country code)."""
    split: dict[tuple[int, int], dict[str, int]] = {}
    for network, country in networks:
        length, bits = network.prefixlen, network.max_prefixlen
        version: int = network.version
        finest = FINEST[version]
        address = int(network.network_address)
        if length <= finest:
            yield version, address >> (bits - length), length, country
        else:
            shares = split.setdefault((version, address >> (bits - finest)), {})
            shares[country] = shares.get(country, 0) + network.num_addresses
    for (version, prefix), shares in split.items():
        yield version, prefix, FINEST[version], max(sorted(shares), key=shares.__getitem__)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A number of the format, with the width that readers insist on: 16, 32 or 64 bits."""

    value: int
    bits: int


def encode(value: object) -> bytes:
    """Encode a value as the format's data section has it (MaxMind DB file format 2.0)."""
    if isinstance(value, str):
        text = value.encode()
        return _control(2, len(text)) + text
    if isinstance(value, Unsigned):
        number = value.value.to_bytes((value.value.bit_length() + 7) // 8, "big")
        return _control({16: 5, 32: 6, 64: 9}[value.bits], len(number)) + number
    if isinstance(value, Mapping):
        return _control(7, len(value)) + b"".join(encode(key) + encode(value[key]) for key in value)
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"not in this format: {value!r}")


def _control(kind: int, size: int) -> bytes:
    extra = b""
    if size >= 29:
        if size >= 285:
            raise ValueError("longer texts are not needed here")
        size, extra = 29, bytes([size - 29])
    return (bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])) + extra


def database(tree: Tree, countries: list[str], continents: Mapping[str, str], epoch: int) -> bytes:
    """Return the file: the tree, the records of the countries (``countries[0]`` is country 1), the description.

    epoch: when the source was built, seconds since 1970 UTC.
    """
    nodes = len(tree.branches) // 2
    if nodes >= 1 << 24:
        raise ValueError("more nodes than records of 24 bits can number")
    records, offsets = bytearray(), []
    for country in countries:
        offsets.append(len(records))
        records += encode({"continent": {"code": continents[country]}, "country": {"iso_code": country}})
    pointers = [nodes, *(nodes + len(_SEPARATOR) + offset for offset in offsets)]
    packed = bytearray()
    for branch in tree.branches:
        packed += (branch if branch > 0 else pointers[-branch]).to_bytes(3, "big")
    metadata: dict[str, object] = {
        "binary_format_major_version": Unsigned(2, 16),
        "binary_format_minor_version": Unsigned(0, 16),
        "build_epoch": Unsigned(epoch, 64),
        "database_type": "Vestibule-Country",
        "description": {"en": "Countries by IP network. Data from nro.net, CC BY 4.0, and ip-location-db; see NOTICE"},
        "ip_version": Unsigned(6, 16),
        "languages": [],
        "node_count": Unsigned(nodes, 32),
        "record_size": Unsigned(24, 16),
    }
    return bytes(packed + _SEPARATOR + records + _MARKER + encode(metadata))


def convert(source: Path) -> bytes:
    continents = catalogue.continents()
    with maxminddb.open_database(source) as reader:
        epoch = reader.metadata().build_epoch
        networks = [(network, str(record["country_code"])) for network, record in reader if is_global(network)]
    countries = sorted({country for _, country in networks})
    numbers = {country: number for number, country in enumerate(countries, 1)}
    tree = Tree()
    for version, prefix, length, country in coarse(networks):
        tree.insert(prefix, length + (IPV4_DEPTH if version == 4 else 0), numbers[country])
    tree.fold()
    return database(tree, countries, continents, epoch)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        sys.stderr.write((__doc__ or "").strip().rsplit("\n\n", 1)[-1] + "\n")
        return 2
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else CATALOGUE / "country.mmdb"
    target.write_bytes(convert(Path(sys.argv[1])))
    sys.stderr.write(f"{target}: {target.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
