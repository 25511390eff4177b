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
from vestibule.core.consent import ASKED, Purpose, State
from vestibule.core.csp import Parts
from vestibule.core.html.rewriter import Gated, Inject
from vestibule.privacy.guard import Guard, purposes
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
        self.guard = Guard(policy)
        self.style = Asset.read(static() / "banner" / "banner.css")
        self.centre_style = Asset.read(static() / "banner" / "centre.css")
        self.script = Asset.of("banner.js", b"\n".join(map(squeezed, self.guard.parts)))
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

    def inject(self, visitor: Visitor, target: str, *, again: bool = True) -> Inject:
        """The additions to a document. target: its path and query, to which the form leads back. again: whether
        reloading it repeats nothing but a GET."""
        language = choose(visitor.language)
        choice = visitor.effective
        style = self.parts(visitor.origin)
        head = (
            f'{self.script_tag(visitor, again=again)}<link rel="stylesheet" href="{style.style}"'
            f' integrity="{style.style_hash}" crossorigin="anonymous">'
        )
        foot = (
            f'<p id="vestibule-settings"{self.clearing(visitor)}{" hidden" if choice is None else ""}>'
            f'<a href="{visitor.origin}/_privacy/">{escape(texts(language)["banner"]["settings"])}</a></p>'
        )
        body = self._banner(language, visitor.origin, target) if choice is None else ""
        foot += self.form(visitor, target)
        return Inject(head=head.encode(), body=body.encode(), foot=foot.encode())

    def framed(self, visitor: Visitor, target: str) -> Inject:
        """The additions to a page inside another one: what its placeholders need."""
        return Inject(foot=self.form(visitor, target).encode())

    @staticmethod
    def form(visitor: Visitor, target: str) -> str:
        """The form that the placeholders' buttons belong to. It stands apart from them: a placeholder may be within a
        paragraph, which a form would end, or within a form of the site's, which takes no other."""
        return (
            f'<form id="vestibule-embed" method="post" action="{escape(visitor.origin)}/_privacy/consent" hidden>'
            f'<input type="hidden" name="next" value="{escape(target)}">'
            '<input type="hidden" name="choice" value="add"><input type="hidden" name="surface" value="placeholder">'
            "</form>"
        )

    def script_tag(self, visitor: Visitor, *, again: bool = True) -> str:
        """The script, which comes before all others and is waited for: what they are refused is told only once, and
        Google's consent mode counts only from before its tags. It is small, and never changes at its address."""
        parts = self.parts(visitor.origin)
        choice = escape(json.dumps(purposes(visitor.effective), separators=(",", ":")), quote=False)
        return (
            f'<script src="{parts.script}" integrity="{parts.script_hash}" crossorigin="anonymous"'
            f" id=\"vestibule-script\" data-choice='{choice}'{' data-again=1' if again else ''}></script>"
        )

    def clearing(self, visitor: Visitor) -> str:
        """The attribute that tells the script which keys of the browser's storage to remove. Not in the head: there it
        might push the page's ``<meta charset>`` out of the bytes in which browsers look for it."""
        leftovers = self.guard.leftovers(visitor.effective)
        return f' data-clear="{escape(leftovers)}"' if leftovers else ""

    @staticmethod
    def quiet() -> Inject:
        """The additions to what is no document, such as a piece that a script fetches: none."""
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
                    purpose=gated.purpose,
                    asked=verdict is not None and verdict.state is State.ASK,
                    never=self._never(gated),
                )
            )
            if len(self._placeholders) < _MAX_CACHED:
                self._placeholders[key] = template
        return _fill(template, visitor.origin, target).encode()

    def _never(self, gated: Gated) -> bool:
        """Whether no choice opens it."""
        verdict = self._policy.rules.verdict(gated.service)
        if verdict is None:  # a host that nothing names, or that a list does
            verdict = self._policy.rules.decide(gated.service.removeprefix("unknown:"), "/", "frame")
        return verdict.state is State.BLOCK

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


def squeezed(name: str) -> bytes:
    """A script without its indentation and the lines that are comments: written to be read, sent to be small."""
    lines = (line.strip() for line in (static() / "banner" / name).read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")).encode()


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


def words(language: str) -> Texts:
    return texts(choose(language))
