"""What a page's markup loads, and what else it tells: links, forms, the way to its policy.

What loads is asked of the rewriter itself, by a gate that lets everything pass and writes it down: what Vestibule
would decide about is what is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from vestibule.core.html.encoding import charset, codec, detect, needs_transcoding
from vestibule.core.html.gate import Gated
from vestibule.core.html.rewriter import Rewriter
from vestibule.core.trackers import Rules
from vestibule.scan.fetching import Answer
from vestibule.scan.sightings import Contact, How, Sightings, Signature

MAX_LINKS = 2000
"""Links that are taken from a page."""
MAX_TEXT = 1 << 20
"""Characters of scripts and styles that are searched in a page or file."""

_CSS = re.compile(r"@import\s*(?:url\()?\s*[\"']?([^\"')\s;]{1,2000})|url\(\s*[\"']?([^\"')]{1,2000})", re.IGNORECASE)
_MENTION = re.compile(
    r"[\"'`]((?:https?:|wss?:)?\\?/\\?/[a-z0-9][a-z0-9.-]{2,250}\.[a-z]{2,24}(?::\d{2,5})?(?:\\?/[^\"'`\s<>]{0,500})?)[\"'`]",
    re.IGNORECASE,
)
_NAMESPACES = ("http://www.w3.org/", "https://www.w3.org/", "https://schema.org", "http://schema.org")
_LINK = re.compile(r"<([^>]{1,2000})>\s*((?:;[^,;]*)*)")
_ENDPOINT = re.compile(r"https?://[^\s\"',;>)]{1,2000}")
_REPORTING = (
    "report-to",
    "nel",
    "reporting-endpoints",
    "content-security-policy",
    "content-security-policy-report-only",
)
_REMEMBER = re.compile(r"remember|keep|stay|persist|angemeldet", re.IGNORECASE)
_POLICY = re.compile(r"privacy|datenschutz|confidentialit|privacidad|privacidade|informativa", re.IGNORECASE)
_HELD = frozenset({"data-vestibule-src", "data-vestibule-href", "data-vestibule-srcset"})
"""What Vestibule makes of attributes that it holds back."""
_LOGOUT = re.compile(r"log-?out|sign-?out|abmelden", re.IGNORECASE)


@dataclass(slots=True)
class Outline:
    """What a page tells besides what it loads. Addresses are absolute."""

    title: str = ""
    links: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    policy: str = ""
    contact: str = ""
    login: str = ""
    remember: str = ""
    """The name of the box in the form at ``login`` that keeps a visitor signed in."""
    logout: str = ""
    canonical: str = ""
    vestibule: bool = False
    """Whether the page comes through a Vestibule already."""


def read(answer: Answer, rules: Rules, sightings: Sightings) -> Outline:
    """Read a page into ``sightings``; returns its outline."""
    text = text_of(answer)
    gate = _Witness(answer.url, rules, sightings)
    rewriter = Rewriter(answer.url, gate, encoding="utf-8")
    rewriter.feed(text.encode("utf-8", "replace"))
    rewriter.close()
    read_headers(answer, sightings)
    parser = _Parser(answer.url)
    parser.feed(text)
    parser.close()
    for css in parser.css:
        read_style(css, answer.url, answer.url, sightings)
    return parser.outline


def text_of(answer: Answer) -> str:
    """The text of an answer, in the encoding that it is declared to be in."""
    name = detect(charset(answer.all("content-type"))[1], answer.body)
    try:
        return answer.body.decode(name if needs_transcoding(name) else codec(name), "replace")
    except LookupError:
        return answer.body.decode("utf-8", "replace")


def read_headers(answer: Answer, sightings: Sightings) -> None:
    """Read what an answer's headers load, or report to."""
    for value in answer.all("link"):
        for target, parameters in _LINK.findall(value):
            if re.search(r"rel\s*=\s*\"?[^;]*(?:pre|stylesheet|icon|manifest)", parameters, re.IGNORECASE):
                sightings.add(Contact(urljoin(answer.url, target), "hint", How.HEADER), answer.url)
    for value in answer.all("refresh"):
        target = value.partition("=")[2].strip(" \"'")
        if target:
            sightings.add(Contact(urljoin(answer.url, target), "navigate", How.HEADER), answer.url)
    for name in _REPORTING:
        for value in answer.all(name):
            text = value
            if name.startswith("content-security"):
                text = " ".join(part for part in value.split(";") if part.strip().lower().startswith("report-uri"))
            for url in _ENDPOINT.findall(text):
                sightings.add(Contact(url, "ping", How.HEADER), answer.url)


def read_style(css: str, base: str, page: str, sightings: Sightings) -> None:
    """Read what a style sheet at ``base`` loads."""
    for imported, other in _CSS.findall(css[:MAX_TEXT]):
        reference = (imported or other).strip()
        if reference and not reference.startswith(("data:", "#")):
            kind = "style" if imported else "image"
            sightings.add(Contact(urljoin(base, reference), kind, How.STYLE), page)


def read_script(text: str, page: str, rules: Rules, sightings: Sightings) -> None:
    """Read a script: whose it is, and which addresses it mentions."""
    verdict = rules.decide_inline(text[:MAX_TEXT].encode("utf-8", "replace"))
    if verdict is not None and verdict.service is not None:
        sightings.add(Signature(verdict.service), page)
    for url in _mentioned(text[:MAX_TEXT], page):
        sightings.add(Contact(url, "script", How.MENTION), page)


def _mentioned(text: str, page: str) -> Iterator[str]:
    for found in _MENTION.findall(text):
        url = urljoin(page, found.replace("\\/", "/"))
        if not url.startswith(_NAMESPACES):
            yield url


class _Witness:
    """A gate that lets everything pass, and writes down what it was asked."""

    def __init__(self, page: str, rules: Rules, sightings: Sightings) -> None:
        self._page = page
        self._rules = rules
        self._sightings = sightings

    def url(self, url: str, kind: str) -> Gated | None:
        self._sightings.add(Contact(url, kind, How.MARKUP), self._page)
        return None

    def inline(self, text: bytes) -> Gated | None:
        read_script(text.decode("utf-8", "replace"), self._page, self._rules, self._sightings)
        return None


class _Parser(HTMLParser):
    """Takes the outline from a page. What it gets wrong costs a page not visited, nothing else."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.outline = Outline()
        self.css: list[str] = []
        self._base = url
        self._form = ""
        self._box = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in reversed(attrs)}
        outline = self.outline
        if tag in ("style", "title"):
            self._inside = tag
        elif tag in ("a", "area") and "href" in attributes:
            self._link(attributes["href"])
        elif tag == "form":
            self._form, self._box = self._absolute(attributes.get("action", "")), ""
        elif tag == "input":
            self._input(attributes)
        elif tag == "script" and "src" in attributes:
            outline.scripts.append(self._absolute(attributes["src"]))
        elif tag == "link":
            rel = attributes.get("rel", "").lower().split()
            if "stylesheet" in rel:
                outline.styles.append(self._absolute(attributes.get("href", "")))
            elif "canonical" in rel:
                outline.canonical = self._absolute(attributes.get("href", ""))
        if attributes.get("id") == "vestibule" or not _HELD.isdisjoint(attributes):
            outline.vestibule = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = ""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.css.append(data)
        elif self._inside == "title" and not self.outline.title:
            self.outline.title = " ".join(data.split())[:200]

    def _link(self, href: str) -> None:
        outline = self.outline
        if href.lower().startswith("mailto:"):
            outline.contact = outline.contact or href[7:].partition("?")[0].strip()
            return
        url = self._absolute(href)
        if url and len(outline.links) < MAX_LINKS:
            outline.links.append(url)
        path = url.partition("://")[2].partition("/")[2]
        if _POLICY.search(path) and not outline.policy:
            outline.policy = url
        if _LOGOUT.search(path) and not outline.logout:
            outline.logout = url

    def _input(self, attributes: dict[str, str]) -> None:
        type_, name = attributes.get("type", "").lower(), attributes.get("name", "")
        if type_ == "checkbox" and _REMEMBER.search(name):
            self._box = name
        if type_ == "password" and not self.outline.login:
            self.outline.login = self._form or self._base
        if self._box and self.outline.login == (self._form or self._base):
            self.outline.remember = self._box

    def _absolute(self, reference: str) -> str:
        try:
            return urljoin(self._base, reference.strip()).partition("#")[0]
        except ValueError:
            return ""
