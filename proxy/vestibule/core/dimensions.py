"""The dimensions of a fact: one ``put_*`` step each, from a hit to the value that is counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from vestibule.core import campaigns, referrers
from vestibule.core.contents import VIEW, file_type, is_download
from vestibule.core.hits import DIMENSIONS, NONE, UNKNOWN
from vestibule.core.seen import Seen


def put_page(seen: Seen) -> str:
    """The page asked for; of an explicit fact the page it names, else the page that it was sent from."""
    if not seen.hit.kind:
        return seen.settings.folder.fold(seen.hit.path)
    told = seen.told("page")
    if told:
        return seen.settings.folder.fold(path_of(told))
    return previous_of(seen)


def path_of(address: str) -> str:
    """Return the path of a URL or of a path."""
    scheme, colon, rest = address.partition("://")
    if colon and "/" not in scheme:
        return "/" + rest.partition("/")[2]
    return address


def previous_of(seen: Seen) -> str:
    host, path = seen.referrer
    return seen.settings.folder.fold(path) if host and seen.is_site(host) else NONE


def put_previous(seen: Seen) -> str:
    """The page of the same site that led here."""
    told = seen.told("previous")
    return seen.settings.folder.fold(path_of(told)) if told else previous_of(seen)


def put_path(seen: Seen) -> str:
    """The path of a download; other files are counted by their type only."""
    return seen.settings.folder.fold(seen.hit.path) if is_download(seen.hit) else NONE


def put_type(seen: Seen) -> str:
    return file_type(seen.hit) or seen.hit.fetch_dest or UNKNOWN


def put_referrer(seen: Seen) -> str:
    """The leaf of the tree of sources: a referring page, or the source itself where only that is known."""
    table, campaign = seen.trees.referrers, seen.campaign
    host, path = seen.referrer
    if (host and seen.is_ours(host)) or seen.hit.kind == VIEW:
        return referrers.INTERNAL
    click = campaign.get("click", "")
    if click.startswith(referrers.ADS):
        return click
    medium = put_medium(seen) if campaign else NONE
    if medium != NONE and campaigns.PAID.fullmatch(medium):
        return table.paid(table.source(host) if host else table.named(campaign.get("source", "")))
    if host:
        return table.page(host, path)
    if seen.hit.referrer:
        return referrers.LINK
    if "source" in campaign:
        named = table.named(campaign["source"])
        return "mail" if medium == "email" and named.startswith(referrers.CAMPAIGN) else named
    return click or ("mail" if medium == "email" else referrers.CAMPAIGN if campaign else referrers.DIRECT)


def put_campaign(seen: Seen) -> str:
    name = seen.campaign.get("campaign") if seen.campaign else None
    return (seen.settings.text(name) if name else "") or NONE


def put_medium(seen: Seen) -> str:
    told = seen.campaign.get("medium") if seen.campaign else None
    if not told:
        return NONE
    medium = seen.settings.text(told)
    return campaigns.MEDIA.get(medium, medium) or NONE


def put_hour(seen: Seen) -> str:
    """The hour of the day where the site is."""
    return seen.settings.hour(int(seen.hit.time // 60))


def put_country(seen: Seen) -> str:
    return seen.country


def put_network(seen: Seen) -> str:
    return seen.network or UNKNOWN


def put_language(seen: Seen) -> str:
    return seen.settings.language(seen.hit.language)


def put_browser(seen: Seen) -> str:
    return seen.agent.browser_value


def put_os(seen: Seen) -> str:
    return seen.agent.os_value


def put_device(seen: Seen) -> str:
    return seen.agent.device


def put_status(seen: Seen) -> str:
    return str(seen.hit.status)


_TIMEZONE = re.compile(r"[A-Za-z_]{1,20}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_SCREEN = re.compile(r"(\d{1,5}) ?[x×] ?\d{1,5}")
SCREENS: tuple[tuple[int, str], ...] = ((480, "xs"), (768, "s"), (1200, "m"), (1920, "l"), (100_000, "xl"))
"""Classes of screens by their width in CSS pixels: below the number."""


def put_timezone(seen: Seen) -> str:
    told = seen.told("timezone")
    return told if _TIMEZONE.fullmatch(told) else UNKNOWN


def put_screen(seen: Seen) -> str:
    """The class of a screen, told as ``l`` or as ``1440x900``."""
    told = seen.told("screen").lower()
    match = _SCREEN.fullmatch(told)
    if match:
        return next(name for width, name in SCREENS if int(match[1]) < width)
    return told if told in {name for _, name in SCREENS} else UNKNOWN


def put_host(seen: Seen) -> str:
    """The host that an outbound link leads to."""
    told = seen.told("host")
    return referrers.split(told if "://" in told else f"https://{told}/")[0] or UNKNOWN


def _told(name: str) -> Callable[[Seen], str]:
    def put(seen: Seen) -> str:
        return seen.settings.text(seen.told(name)) or NONE

    put.__name__ = f"put_{name}"
    return put


put_name = _told("name")
put_value = _told("value")
put_choice = _told("choice")
put_purpose = _told("purpose")
put_surface = _told("surface")

_PUTS: Mapping[str, Callable[[Seen], str]] = MappingProxyType(
    {
        "page": put_page,
        "previous": put_previous,
        "path": put_path,
        "type": put_type,
        "referrer": put_referrer,
        "campaign": put_campaign,
        "medium": put_medium,
        "hour": put_hour,
        "country": put_country,
        "network": put_network,
        "language": put_language,
        "browser": put_browser,
        "os": put_os,
        "device": put_device,
        "status": put_status,
        "timezone": put_timezone,
        "screen": put_screen,
        "host": put_host,
        "name": put_name,
        "value": put_value,
        "choice": put_choice,
        "purpose": put_purpose,
        "surface": put_surface,
    }
)
STEPS: Mapping[str, tuple[tuple[str, Callable[[Seen], str]], ...]] = MappingProxyType(
    {
        kind: tuple((dimension, _PUTS[dimension]) for dimension in dimensions)
        for kind, dimensions in DIMENSIONS.items()
        if kind not in ("visit", "blocked", "bot", "asked")
    }
)
