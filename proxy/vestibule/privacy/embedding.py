"""The document in which a frame is shown that was held back when its page was loaded.

A page's policy cannot be loosened once it is shown, but it lets the site's own addresses be framed. So the guard frames
this document in place of the embed, and this one, which has a policy of its own, frames the embed. What it shows is
decided anew by the visitor's cookie: until the service is open that is the placeholder with its button, a plain form.

It must not become a way to frame anything: only addresses of third parties that the rules know, only inside the site's
own pages, and with no more permissions than the page gave, of which the guard tells.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from vestibule.core.html.gate import Gated
from vestibule.core.services import Verdict
from vestibule.core.urls import absolute, resolve
from vestibule.privacy.answers import Header
from vestibule.privacy.banner import Banner
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import choose, texts
from vestibule.privacy.verdicts import verdict_of
from vestibule.privacy.visitor import Visitor

MAX_QUERY = 4000
"""Characters of the query; with the path it still fits the way back from the button (`origin.local_path`)."""
MAX_ALLOW = 500
MAX_SOURCES = 3072
"""Bytes of hosts in the policy; those beyond are left out, which closes them."""

_HOST = re.compile(r"[a-z0-9.\-_]+|\[[0-9a-f:.]+\]")
"""Hosts that may stand in a policy."""
_ALLOW = re.compile(r"[A-Za-z0-9\-;:/.*'\" ]*")
_REFERRERS: Final = frozenset(
    {"no-referrer", "origin", "same-origin", "strict-origin", "strict-origin-when-cross-origin", "unsafe-url"}
    | {"no-referrer-when-downgrade", "origin-when-cross-origin"}
)
STYLE = "html,body,iframe,.vestibule-placeholder{height:100%;margin:0}iframe{display:block;width:100%;border:0}"
_STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class Embed:
    """A frame that is asked for. allow, referrer: its attributes (HTML, section 4.8.5)."""

    url: str
    verdict: Verdict
    allow: str
    referrer: str


def read(policy: SitePolicy, visitor: Visitor, query: str) -> Embed | None:
    """Read what is asked for; None where it may not be framed here whatever the visitor's choice."""
    if len(query) > MAX_QUERY or query.count("&") > 8:
        return None
    fields = parse_qs(query)
    given = fields.get("src", [""])[0]
    target = resolve(given, given)
    url = absolute(given, given) if target is not None else None
    if target is None or url is None or _HOST.fullmatch(target.host) is None:
        return None
    if target.scheme != "https" and not target.scheme == visitor.scheme == "http":
        return None
    verdict = verdict_of(policy, visitor, url, "frame")
    if verdict is None or verdict.source == "first party" or policy.answers_for(target.host):
        return None
    allow, referrer = fields.get("allow", [""])[0], fields.get("referrer", [""])[0]
    if len(allow) > MAX_ALLOW or _ALLOW.fullmatch(allow) is None:
        allow = ""
    _, mark, fragment = given.partition("#")  # videos are told where to start by it
    return Embed(url + mark + fragment, verdict, allow, referrer if referrer in _REFERRERS else "")


def may_be_shown(headers: Mapping[bytes, bytes]) -> bool:
    """Whether this is asked for by a frame in the site's own pages, as far as the browser says (Fetch Metadata)."""
    place, site = headers.get(b"sec-fetch-dest", b"iframe"), headers.get(b"sec-fetch-site", b"same-origin")
    return place in (b"iframe", b"frame") and site in (b"same-origin", b"none")


def render(banner: Banner, visitor: Visitor, embed: Embed, target: str) -> bytes:
    """The document, UTF-8. target: its own path and query, to which the button leads back."""
    language = choose(visitor.language)
    shown = embed.verdict.open(visitor.effective)
    gated = Gated(embed.verdict.key, embed.verdict.name, embed.verdict.purpose.value)
    page = (
        environment()
        .get_template("frame.html")
        .render(
            tag=language,
            direction=texts(language).direction,
            name=embed.verdict.name,
            inline=STYLE,
            style="" if shown else banner.parts(visitor.origin).style,
            placeholder="" if shown else banner.placeholder(visitor, target, gated).decode(),
            form="" if shown else banner.form(visitor, target),
            embed=embed,
        )
    )
    return page.encode()


def headers(policy: SitePolicy, visitor: Visitor, embed: Embed) -> tuple[Header, ...]:
    """The document's policy: the embed, and where it may lead inside its frame, which is whatever is open."""
    shown = embed.verdict.open(visitor.effective)
    frames = f"frame-src {_sources(policy, visitor, embed)}; " if shown else ""
    csp = (
        f"default-src 'none'; {frames}style-src '{_STYLE_HASH}' {visitor.origin}/_privacy/banner.css; "
        f"form-action {visitor.origin}/_privacy/; base-uri 'none'; frame-ancestors 'self'"
    )
    return (
        (b"content-security-policy", csp.encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"SAMEORIGIN"),
        # Embeds ask for the origin of the page around them (videos do not play without), and get no more than that.
        (b"referrer-policy", b"strict-origin-when-cross-origin"),
        (b"x-robots-tag", b"noindex"),
    )


def _sources(policy: SitePolicy, visitor: Visitor, embed: Embed) -> str:
    scheme = "https" if visitor.secure else "http"
    hosts = policy.rules.allowed_hosts(visitor.effective)
    target = resolve(embed.url, embed.url)
    assert target is not None  # it was read
    port = f":{target.port}" if target.port is not None else ""
    line = f"{target.scheme}://{target.host}{port}"
    if "*" in hosts:
        return "https:" if visitor.secure else "http: https:"
    for host in hosts:
        if len(line) + len(host) + 9 > MAX_SOURCES:
            break
        line += f" {scheme}://{host}"
    return line
