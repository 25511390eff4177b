"""Campaigns: what the query of a landing page says about the link that was followed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote, unquote_plus

MAX_QUERY = 4096
"""Characters of a query in which campaigns are looked for."""

MAX_KEY = 128
"""Characters of a parameter's name that are decoded."""

_NAME_KEYS = (
    "utm_campaign",
    "utm_name",
    "mtm_campaign",
    "mtm_cpn",
    "matomo_campaign",
    "piwik_campaign",
    "pk_campaign",
    "pk_cpn",
    "campaign",
)
_MEDIUM_KEYS = ("utm_medium", "mtm_medium", "matomo_medium", "piwik_medium", "pk_medium")
_SOURCE_KEYS = ("utm_source", "mtm_source", "matomo_source", "piwik_source", "pk_source", "source", "ref")
_CAMPAIGN_KEYS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(_NAME_KEYS, "campaign"),
        **dict.fromkeys(_MEDIUM_KEYS, "medium"),
        **dict.fromkeys(_SOURCE_KEYS, "source"),
    }
)
MEDIA: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("e-mail", "e_mail", "mail", "e mail", "newsletter"), "email"),
        **dict.fromkeys(("social-network", "social_network", "social-media", "social media", "sm"), "social"),
        **dict.fromkeys(("paid_social", "paid social", "paidsocial", "cpc-social"), "paid-social"),
        **dict.fromkeys(("paid_search", "paid search", "paidsearch", "sem"), "cpc"),
    }
)
PAID = re.compile(r"(?:.*cp[acmv].*|ppc|retargeting|remarketing|paid.*|display|banner)")


def campaign(query: str, clicks: Mapping[str, str]) -> dict[str, str]:
    """Return campaign, medium, source (as written) and click (the source that a click id stands for)."""
    found: dict[str, str] = {}
    for pair in query[:MAX_QUERY].split("&"):
        key, _, value = pair.partition("=")
        key = _key(key)
        role = _CAMPAIGN_KEYS.get(key)
        if role is not None and value and role not in found:
            found[role] = unquote_plus(value[:512])
        elif value and key in clicks and "click" not in found:
            found["click"] = clicks[key]
    return found


def _key(text: str) -> str:
    """The name of a parameter. ``&amp;`` comes of links whose address was escaped twice, percent-encoding of mailers
    that encode whatever is no letter."""
    if "%" in text:
        text = unquote(text[:MAX_KEY])
    return text.removeprefix("amp;").lower().replace("-", "_")
