"""What Vestibule adds to a page: style and script, the banner, the way back to the choice, and placeholders.

Everything is rendered once for each language and set of services; what differs between pages is put in by a plain
replacement. Addresses are absolute, so that a page's ``<base>`` cannot move them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from vestibule.assets import Asset
from vestibule.core.consent import ASKED, Purpose, State
from vestibule.core.csp import Parts
from vestibule.core.html.gate import Gated
from vestibule.core.memo import Memo
from vestibule.core.trackers import Service
from vestibule.privacy import declaration, looks
from vestibule.privacy.guard import Guard, digest, joined, purposes, written
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import Texts, choose, fill
from vestibule.privacy.visitor import SIGNAL_NAMES, Visitor

_K = TypeVar("_K")
_NEXT = "\ue000next\ue000"
_BASE = "\ue000base\ue000"
_MAX_CACHED = 256
MAX_NAMES = 20
"""Services named in the banner, of all purposes together; the centre names all."""


@dataclass(frozen=True, slots=True)
class Group:
    """A purpose as the banner shows it. whole: it can be agreed to as a whole. services: ids and names. more: how many
    more there are, in words; empty for none."""

    purpose: Purpose
    services: tuple[tuple[str, str], ...]
    more: str = ""
    whole: bool = True


class Banner:
    """Renders what goes into a page."""

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        self.guard = Guard(policy)
        own = policy.config.banner
        # What it adds comes last, so that it goes before.
        self.style = Asset.of("banner.css", looks.style("banner.css", looks.of_banner(own)))
        self.centre_style = Asset.of("centre.css", looks.style("centre.css", looks.of_centre(own.theme)))
        self.script = Asset.of("banner.js", joined(self.guard.parts))
        self.answer = Asset.of("answer.js", joined(self.guard.later))
        self.count = Asset.of("count.js", joined(("count.js",)))
        # The first fetches the others by its own query, so that it names them all.
        self._version = f"{self.script.digest}{self.answer.digest}{self.count.digest}"
        self.parts = Memo(self._parts, _MAX_CACHED)
        """What the site's own policies must let in, by its origin."""
        self._banners: dict[object, str] = {}
        self._notices: dict[object, str] = {}
        self._placeholders: dict[tuple[str, str], str] = {}

    def _parts(self, origin: str) -> Parts:
        return Parts(
            script=f"{origin}/_privacy/banner.js?v={self._version}",
            script_hash=self.script.integrity,
            answer=f"{origin}/_privacy/answer.js",
            count=f"{origin}/_privacy/count.js",
            style=f"{origin}/_privacy/banner.css?v={self.style.digest}",
            style_hash=self.style.integrity,
            origin=origin,
        )

    def head(self, visitor: Visitor, *, again: bool = True) -> str:
        """What stands in the head: script and style, the same in every language."""
        style = self.parts(visitor.origin)
        return (
            f'{self.script_tag(visitor, again=again)}<link rel="stylesheet" href="{style.style}"'
            f' integrity="{style.style_hash}" crossorigin="anonymous">'
        )

    @staticmethod
    def asks(visitor: Visitor) -> bool:
        """Whether there is something to ask."""
        return visitor.effective is None or bool(visitor.added)

    def body(self, visitor: Visitor, target: str, language: str = "") -> str:
        """What stands first in the body, and so in the order of tabbing: the banner where there is something to ask,
        and an announcement that was not read yet."""
        tag = choose(visitor.language, language)
        asked = self._banner(tag, visitor, target) if self.asks(visitor) else ""
        return asked + self._notice(tag, visitor, target)

    def foot(self, visitor: Visitor, target: str, language: str = "") -> str:
        """What stands last in the body: the way back to the choice, and the form of the buttons that stand alone."""
        tag = choose(visitor.language, language)
        return self._settings(tag, visitor) + self.form(visitor, target)

    def _settings(self, tag: str, visitor: Visitor) -> str:
        """The way back, with a withdrawal that takes one click, as agreeing did (GDPR art. 7 (3)). It is there unseen
        before a choice, for the script to show."""
        choice, link, texts = visitor.effective, self._policy.config.banner.link, self._policy.texts(tag)
        if link.place == "none":
            return f'<p id="vestibule-settings"{self.clues(visitor)} hidden></p>'
        words = self._policy.worded(link.text, tag) or texts["banner"]["settings"]
        parts = [f'<a href="{visitor.origin}/_privacy/?lang={tag}">{escape(words)}</a>']
        if choice is None or not choice.refuses_all:
            button = '<button form="vestibule-embed" name="choice" value="reject">'
            parts.append(f"{button}{escape(texts['banner']['withdraw'])}</button>")
        if visitor.signal and visitor.choice is None:
            signal = fill(texts["banner"]["signal"], signal=SIGNAL_NAMES[visitor.signal])
            parts.append(f"<span>{escape(signal)}</span>")
        hidden = " hidden" if choice is None else ""
        return (
            f'<p id="vestibule-settings"{self.clues(visitor)} lang="{tag}" dir="{texts.direction}"{hidden}>'
            f"{' '.join(parts)}</p>"
        )

    def declaration(self, visitor: Visitor, language: str = "") -> bytes:
        """What fills the place for it in a page of the site."""
        return declaration.placed(self._policy, choose(visitor.language, language))

    @staticmethod
    def form(visitor: Visitor, target: str) -> str:
        """The form that the buttons belong to that stand apart from it: a placeholder may be within a paragraph, which
        a form would end, or within a form of the site's, which takes no other."""
        return (
            f'<form id="vestibule-embed" method="post" action="{escape(visitor.origin)}/_privacy/consent" hidden>'
            f'<input type="hidden" name="next" value="{escape(target)}"></form>'
        )

    def script_tag(self, visitor: Visitor, *, again: bool = True) -> str:
        """The script, which comes before all others and is waited for: what they are refused is told only once, and
        Google's consent mode counts only from before its tags. It is small, and never changes at its address."""
        parts = self.parts(visitor.origin)
        choice = escape(json.dumps(purposes(visitor.effective), separators=(",", ":")), quote=False)
        told = ' data-again="1"' if again else ""
        if visitor.effective is not None and self.guard.speaks_to_google:
            told += f' data-google="{" ".join(self.guard.consent_mode(visitor.effective))}"'
        return (
            f'<script src="{parts.script}" integrity="{parts.script_hash}" crossorigin="anonymous"'
            f" id=\"vestibule-script\" data-choice='{choice}'{told}></script>"
        )

    def clues(self, visitor: Visitor) -> str:
        """The attributes that tell the script under which choice the page was made, whether that holds for other hosts
        too, and by which name to ask for the keys of the browser's storage that are to go. Not in the head: there they
        might push the page's ``<meta charset>`` out of the bytes in which browsers look for it."""
        leftovers = self.guard.leftovers(visitor.effective)
        shared = ' data-shared="1"' if self._policy.cookie_domain(visitor.host) else ""
        clear = f' data-clear="{digest(leftovers)}"' if leftovers else ""
        return f' data-state="{escape(written(visitor.effective))}"{shared}{clear}'

    def placeholder(self, visitor: Visitor, target: str, gated: Gated, language: str = "") -> bytes:
        """What stands in the place of a frame that is not loaded: whose it is, and a button that lets it in."""
        tag = choose(visitor.language, language)
        key = (tag, gated.service)
        template = self._placeholders.get(key)
        if template is None:
            verdict = self._policy.rules.named(gated.service)
            texts = self._policy.texts(tag)
            template = (
                environment()
                .get_template("placeholder.html")
                .render(
                    texts=texts,
                    tag=tag,
                    base=_BASE,
                    service=gated.service,
                    name=gated.name,
                    purpose=gated.purpose,
                    text=fill(texts["placeholder"]["text"], service=gated.name),
                    load=fill(texts["placeholder"]["load"], service=gated.name),
                    asked=verdict is not None and verdict.state is State.ASK,
                )
            )
            _remember(self._placeholders, key, template)
        return _fill(template, visitor.origin, target).encode()

    def _banner(self, tag: str, visitor: Visitor, target: str) -> str:
        key = (tag, visitor.added, visitor.asked_again)
        template = self._banners.get(key)
        if template is None:
            make = self._render_new if visitor.added else self._render_first
            template = make(tag, visitor)
            _remember(self._banners, key, template)
        return _fill(template, visitor.origin, target)

    def _render_first(self, tag: str, visitor: Visitor) -> str:
        texts, config = self._policy.texts(tag), self._policy.config
        words, age = texts["banner"], config.consent.minimum_age
        return self._render(
            texts,
            title=fill(words["title"], site=config.site.name),
            text=words["text"],
            age=fill(words["age"], age=texts.number(age)) if age else "",
            again=visitor.asked_again,
            groups=groups(self._policy.asked, texts),
            accept=words["accept"],
            reject=words["reject"],
        )

    def _render_new(self, tag: str, visitor: Visitor) -> str:
        """The banner of one who has chosen before: it asks for what was added since, and for nothing else."""
        texts = self._policy.texts(tag)
        words = texts["banner"]
        services = [service for service in self._policy.asked if service.id in visitor.added]
        return self._render(
            texts,
            title=fill(words["new_title"], site=self._policy.config.site.name),
            text=fill(words["new_text"], services=texts.listed([service.name for service in services])),
            age="",
            again=False,
            groups=[group for group in groups(services, texts, whole=False) if group.services],
            accept=words["new_accept"],
            reject=words["new_reject"],
            suffix="-new",
            offered=[service.id for service in services],
        )

    def _render(self, texts: Texts, *, suffix: str = "", offered: Sequence[str] = (), **values: object) -> str:
        template = environment().get_template("banner.html")
        return template.render(
            texts=texts,
            tag=texts.tag,
            shown=self._policy.shown,
            policy_url=self._policy_url(),
            logo=self._policy.config.banner.theme.logo,
            base=_BASE,
            next=_NEXT,
            suffix=suffix,
            offered=offered,
            **values,
        )

    def _notice(self, tag: str, visitor: Visitor, target: str) -> str:
        """The announcement of a material change, until it is dismissed or takes effect."""
        notice = self._policy.notice(visitor.now)
        if notice is None or (visitor.kept is not None and visitor.kept.notice == notice.effective.isoformat()):
            return ""
        template = self._notices.get(tag)
        if template is None:
            texts = self._policy.texts(tag)
            template = self._notices[tag] = (
                environment()
                .get_template("notice.html")
                .render(
                    texts=texts,
                    tag=tag,
                    title=fill(texts["notice"]["title"], date=texts.date(notice.effective)),
                    text=self._policy.worded(notice.text, tag),
                    spoken=self._policy.spoken(notice.text, tag),
                    effective=notice.effective.isoformat(),
                    policy_url=self._policy_url(),
                    base=_BASE,
                    next=_NEXT,
                )
            )
        return _fill(template, visitor.origin, target)

    def _policy_url(self) -> str:
        url = self._policy.config.policy.url
        return url if url.startswith("https:") else _BASE + url


def _remember(cache: dict[_K, str], key: _K, template: str) -> None:
    """Keep a template; a full cache starts anew, which costs less than keeping count of use."""
    if len(cache) >= _MAX_CACHED:
        cache.clear()
    cache[key] = template


def _fill(template: str, origin: str, target: str) -> str:
    return template.replace(_BASE, escape(origin, quote=True)).replace(_NEXT, escape(target, quote=True))


def groups(services: Sequence[Service], texts: Texts, *, whole: bool = True) -> list[Group]:
    """The purposes that are asked for, each with services that can be agreed to one by one: as many of each purpose as
    there is room for."""
    shown, room = [], MAX_NAMES
    for left, purpose in zip(range(len(ASKED), 0, -1), ASKED, strict=True):
        found = [(service.id, service.name) for service in services if service.purpose is purpose]
        kept = found[: max(room // left, 1)]
        room -= len(kept)
        more = len(found) - len(kept)
        shown.append(Group(purpose, tuple(kept), texts.plural("banner", "more", more) if more else "", whole))
    return shown
