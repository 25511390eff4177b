"""Addresses, languages and countries, as coarse as they are kept."""

from __future__ import annotations

import ipaddress
import re

UNKNOWN = "(unknown)"

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"({_OCTET}\.{_OCTET}\.{_OCTET})\.{_OCTET}", re.ASCII)
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_][a-z]{4})?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_][a-z0-9]+)*", re.IGNORECASE)

_WEIGHT = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)

CONTINENTS = {
    "Africa": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW "
    "MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    "Antarctica": "AQ BV GS HM TF",
    "Asia": "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY "
    "NP OM PH PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE",
    "Europe": "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC "
    "MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    "North America": "AG AI AN AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA "
    "PM PR SV SX TC TT US VC VG VI",
    "Oceania": "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
    "South America": "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
}
"""Countries (ISO 3166-1) of each continent, as MaxMind's country databases assign them."""

_CONTINENT = {country: continent for continent, countries in CONTINENTS.items() for country in countries.split()}


def truncate(address: str) -> str:
    """Return the network that an address is kept as: IPv4 as /24, IPv6 as /48, ``""`` where it is no address.

    An IPv4 address mapped into IPv6 counts as IPv4. Zones, brackets and ports are dropped.
    """
    match = _IPV4.fullmatch(address)
    return f"{match[1]}.0/24" if match else _truncate_any(address)


def _truncate_any(address: str) -> str:
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"{ipaddress.IPv6Address(int(parsed) >> 80 << 80)}/48"
        parsed = parsed.ipv4_mapped
    return f"{ipaddress.IPv4Address(int(parsed) >> 8 << 8)}/24"


def supernet(network: str) -> tuple[str, ...]:
    """Return the one wider network that a truncated address lies in: /16 of a /24, /32 of a /48."""
    address, _, bits = network.partition("/")
    if bits == "24":
        first, second, _ = address.split(".", 2)
        return (f"{first}.{second}.0.0/16",)
    if bits == "48":
        return (f"{ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) >> 96 << 96)}/32",)
    return ()


def continent(country: str) -> tuple[str, ...]:
    """Return the continent of an ISO 3166-1 country code, or nothing where it has none."""
    found = _CONTINENT.get(country)
    return (found,) if found else ()


def language(accepted: str) -> str:
    """Return the language a visitor likes best, as primary tag and region (RFC 9110, section 12.5.4): ``de-AT``."""
    best, quality = UNKNOWN, 0.0
    for part in accepted[:256].split(","):
        tag, _, weight = part.strip().partition(";")
        match = _LANGUAGE.fullmatch(tag.strip())
        if match is None:
            continue
        weighed = _quality(weight)
        if weighed > quality:
            best = match[1].lower() + (f"-{match[2].upper()}" if match[2] else "")
            quality = weighed
            if quality >= 1.0:
                break
    return best


def _quality(weight: str) -> float:
    if not weight:
        return 1.0
    match = _WEIGHT.fullmatch(weight)
    return float(match[1]) if match else 0.0
