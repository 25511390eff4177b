"""What Vestibule adds to a page: style and script, the banner, the way back to the choice, and placeholders.

Everything is rendered once for each language and set of services; what differs between pages is put in by a plain
replacement. Addresses are absolute, so that a page's ``<base>`` cannot move them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from html import escape

from vestibule.assets import Asset, static
from vestibule.core.consent import ASKED, Choice, Purpose, State
from vestibule.core.csp import Parts
from vestibule.core.html.rewriter import Gated, Inject
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import Texts, choose, texts
from vestibule.privacy.visitor import Visitor

_NEXT = "\ue000next\ue000"
_BASE = "\ue000base\ue000"
_MAX_CACHED = 256
MAX_NAMES = 12
"""Services named in the banner for each purpose; the centre names all."""


@dataclass(frozen=True, slots=True)
class Group:
    """A purpose as the banner shows it."""

    purpose: Purpose
    names: tuple[str, ...]


class Banner:
    """Renders what goes into a page."""

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        self.style = Asset.read(static() / "banner" / "banner.css")
        self.centre_style = Asset.read(static() / "banner" / "centre.css")
        self.script = Asset.read(static() / "banner" / "banner.js")
        self._groups = groups(policy)
        self._banners: dict[str, str] = {}
        self._placeholders: dict[tuple[str, str], str] = {}

    def parts(self, origin: str) -> Parts:
        """What the site's own policies must let in."""
        return Parts(
            script=f"{origin}/_privacy/banner.js?v={self.script.digest}",
            script_hash=self.script.integrity,
            style=f"{origin}/_privacy/banner.css?v={self.style.digest}",
            style_hash=self.style.integrity,
            origin=origin,
        )

    def inject(self, visitor: Visitor, target: str) -> Inject:
        """The additions to a document. target: its path and query, to which the form leads back."""
        language = choose(visitor.language)
        parts = self.parts(visitor.origin)
        choice = visitor.effective
        state = escape(json.dumps(state_of(choice), separators=(",", ":")), quote=True)
        head = (
            f'<link rel="stylesheet" href="{parts.style}" integrity="{parts.style_hash}" crossorigin="anonymous">'
            f'<script src="{parts.script}" integrity="{parts.script_hash}" crossorigin="anonymous" defer'
            f' id="vestibule-script" data-choice="{state}"></script>'
        )
        if choice is None:
            return Inject(head=head.encode(), body=self._banner(language, visitor.origin, target).encode())
        words = texts(language)["banner"]["settings"]
        foot = f'<p id="vestibule-settings"><a href="{visitor.origin}/_privacy/">{escape(words)}</a></p>'
        return Inject(head=head.encode(), foot=foot.encode())

    @staticmethod
    def quiet() -> Inject:
        """The additions to a page inside another one: none."""
        return Inject()

    def placeholder(self, visitor: Visitor, target: str, gated: Gated) -> bytes:
        """What stands in the place of a frame that is not loaded: whose it is, and a button that lets it in."""
        language = choose(visitor.language)
        key = (language, gated.service)
        template = self._placeholders.get(key)
        if template is None:
            verdict = self._policy.rules.verdict(gated.service)
            template = (
                environment()
                .get_template("placeholder.html")
                .render(
                    texts=texts(language),
                    tag=language,
                    base=_BASE,
                    next=_NEXT,
                    service=gated.service,
                    name=gated.name,
                    asked=verdict is not None and verdict.state is State.ASK,
                )
            )
            if len(self._placeholders) < _MAX_CACHED:
                self._placeholders[key] = template
        return _fill(template, visitor.origin, target).encode()

    def _banner(self, language: str, origin: str, target: str) -> str:
        template = self._banners.get(language)
        if template is None:
            config = self._policy.config
            template = (
                environment()
                .get_template("banner.html")
                .render(
                    texts=texts(language),
                    tag=language,
                    site=config.site.name,
                    age=config.consent.minimum_age,
                    policy_url=config.policy.url
                    if config.policy.url.startswith("https:")
                    else _BASE + config.policy.url,
                    groups=self._groups,
                    base=_BASE,
                    next=_NEXT,
                )
            )
            self._banners[language] = template
        return _fill(template, origin, target)


def _fill(template: str, origin: str, target: str) -> str:
    return template.replace(_BASE, escape(origin, quote=True)).replace(_NEXT, escape(target, quote=True))


def groups(policy: SitePolicy) -> tuple[Group, ...]:
    """The purposes that are asked for, each with the services that the configuration lists."""
    used = [service for service, state in policy.rules.services_in_use() if state is State.ASK]
    count = Counter(service.purpose for service in used)
    shown = []
    for purpose in ASKED:
        names = tuple(service.name for service in used if service.purpose is purpose)
        more = count[purpose] - MAX_NAMES
        shown.append(Group(purpose, (*names[:MAX_NAMES], f"+ {more}") if more > 0 else names))
    return tuple(shown)


def state_of(choice: Choice | None) -> dict[str, bool] | None:
    """A choice as scripts and the site see it; None before there is one."""
    return None if choice is None else {purpose.value: choice.grants(purpose) for purpose in ASKED}


def words(language: str) -> Texts:
    return texts(choose(language))
