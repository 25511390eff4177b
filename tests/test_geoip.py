"""The tool that makes the country database."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import geoip2.database
import maxminddb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.geoip import IPV4_DEPTH, Tree, Unsigned, coarse, database, encode

CONTINENTS = {"AA": "EU", "BB": "NA", "CC": "OC"}
COUNTRIES = sorted(CONTINENTS)


def made(networks: dict[str, str]) -> bytes:
    tree = Tree()
    for version, prefix, length, country in coarse((ip_network(text), country) for text, country in networks.items()):
        tree.insert(prefix, length + (IPV4_DEPTH if version == 4 else 0), COUNTRIES.index(country) + 1)
    tree.fold()
    return database(tree, COUNTRIES, CONTINENTS, 1_700_000_000)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("", "40"),
        ("en", "42656e"),
        ("x" * 30, "5d01" + "78" * 30),
        (Unsigned(0, 32), "c0"),
        (Unsigned(500, 32), "c201f4"),
        (Unsigned(6, 16), "a106"),
        (Unsigned(1, 64), "010201"),
        ({"en": "Foo"}, "e142656e43466f6f"),
        ([], "0004"),
        (["Foo"], "010443466f6f"),
    ],
)
def test_encoding(value: object, encoded: str) -> None:
    assert encode(value).hex() == encoded


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(TypeError):
        encode(1.5)
    with pytest.raises(ValueError):
        encode("x" * 300)


def test_small_networks_become_one_of_the_finest_size() -> None:
    networks = {
        "192.0.2.0/26": "AA",
        "192.0.2.64/26": "BB",
        "192.0.2.128/25": "BB",
        "198.51.100.0/24": "CC",
        "2001:db8::/49": "AA",
        "2001:db8:0:8000::/50": "BB",
    }
    assert sorted(coarse((ip_network(text), country) for text, country in networks.items())) == [
        (4, int(ip_address("192.0.2.0")) >> 8, 24, "BB"),
        (4, int(ip_address("198.51.100.0")) >> 8, 24, "CC"),
        (6, int(ip_address("2001:db8::")) >> 80, 48, "AA"),
    ]


def test_a_database_reads_back_with_geoip2(tmp_path: Path) -> None:
    file = tmp_path / "country.mmdb"
    file.write_bytes(made({"192.0.2.0/24": "AA", "198.51.100.0/23": "BB", "2001:db8::/32": "CC"}))
    with geoip2.database.Reader(file) as reader:
        assert reader.metadata().build_epoch == 1_700_000_000
        for address, country in {"192.0.2.1": "AA", "198.51.101.255": "BB", "2001:db8:ffff::1": "CC"}.items():
            found = reader.country(address)
            assert (found.country.iso_code, found.continent.code) == (country, CONTINENTS[country])
        with pytest.raises(geoip2.errors.AddressNotFoundError):
            reader.country("192.0.3.0")


def test_neighbours_of_one_country_fold() -> None:
    whole = made({"192.0.2.0/23": "AA"})
    assert made({"192.0.2.0/24": "AA", "192.0.3.0/24": "AA"}) == whole
    assert len(made({"192.0.2.0/24": "AA", "192.0.3.0/24": "BB"})) > len(whole)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 2**12 - 1), st.sampled_from(COUNTRIES), max_size=60))
def test_every_network_is_found_again(tmp_path_factory: pytest.TempPathFactory, given_: dict[int, str]) -> None:
    file = tmp_path_factory.mktemp("geoip") / "country.mmdb"
    file.write_bytes(made({str(ip_network((number << 8, 24))): country for number, country in given_.items()}))
    with maxminddb.open_database(file) as reader:
        for number in range(2**12):
            found = reader.get(ip_address(number << 8))
            assert (isinstance(found, dict) and found["country"]) == (
                {"iso_code": given_[number]} if number in given_ else False
            )
