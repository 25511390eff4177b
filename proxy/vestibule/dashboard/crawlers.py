"""Which kind of program a crawler is, by its name: who asks for search, who for AI, who for a preview of a link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

AI, SEARCH, PREVIEW, SEO, OTHER = "ai", "search", "preview", "seo", "other"

_KINDS = (
    (
        AI,
        r"gptbot|chatgpt|oai-|openai|claude|anthropic|perplexity|google-?(extended|other|cloudvertex)|gemini|ccbot|bytespider"
        r"|amazonbot|meta-external|applebot-extended|cohere|duckassist|youbot|diffbot|mistral|imagesift|omgili|timpi"
        r"|ai2bot|deepseek|grok|xai-|phind|tiktokspider|kagi-?fetcher|firecrawl|brightbot|webzio",
    ),
    (
        PREVIEW,
        r"facebookexternal|facebot|facebookcatalog|twitterbot|linkedinbot|slack|whatsapp|telegrambot|discordbot"
        r"|pinterest|skypeuripreview|redditbot|mastodon|bluesky|cardyb|vkshare|viber|signal|embedly|unfurl|iframely",
    ),
    (
        SEO,
        r"ahrefs|semrush|mj12bot|dotbot|rogerbot|moz\b|blexbot|screaming frog|serpstat|seokicks|dataforseo|sistrix"
        r"|majestic|barkrowler|seobility|siteaudit|linkdex|netestate|xovi",
    ),
    (
        SEARCH,
        r"googlebot|googleother-?(image|video)|google-inspection|adsbot-google|mediapartners-google|storebot-google"
        r"|bingbot|bingpreview|msnbot|adidxbot|yandex|baidu|duckduckbot|applebot|sogou|qwant|seznam|petalbot|yeti"
        r"|naver|daum|mojeek|slurp|coccoc|exabot|ia_archiver|archive\.org|360spider|haosou|yisou|bravebot|kagibot"
        r"|marginalia|gigablast|search",
    ),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS)


def kind_of(name: str) -> str:
    """Return the kind of a crawler: by its first word that tells one."""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(name)), OTHER)


def grouped(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a breakdown of crawlers' names by their kinds; what has no name stays what it is."""
    sums: dict[str, list[int]] = {}
    for row in answer["rows"]:
        found = sums.setdefault(kind_of(str(row["value"])), [0, 0])
        found[0] += int(row["count"])
        found[1] += int(row["visitors"])
    rows = [{"value": kind, "count": count, "visitors": visitors} for kind, (count, visitors) in sums.items()]
    return {**answer, "rows": sorted(rows, key=lambda row: (-int(row["count"]), str(row["value"])))}
