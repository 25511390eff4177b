"""The privacy centre: one page that shows everything and lets everything be changed, without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup

from vestibule.core.consent import ASKED, Choice, Purpose
from vestibule.core.cookies import Pair
from vestibule.privacy import declaration, sign_in
from vestibule.privacy.banner import Banner
from vestibule.privacy.held import purpose_of
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import Texts, fill, languages, texts
from vestibule.privacy.visitor import SIGNAL_NAMES, Visitor

PROMISED_DAYS = 30
"""Days within which whoever writes has an answer (GDPR art. 12 (3): one month)."""
_SHOWN = 8
"""Characters of a cookie's value: enough to know it by, too few to be of use to a script that got hold of the page. The
whole is in `/_privacy/data`, which browsers save instead of showing it."""
_DONE = ("saved", "erased", "objected", "counted")
_SIGNED_OUT = ("everywhere_done", "everywhere_failed")


@dataclass(frozen=True, slots=True)
class Switch:
    """A service as it can be switched on by itself."""

    id: str
    name: str
    provider: str
    on: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A purpose as it can be agreed to. on: all of it. partly: some of its services by themselves."""

    purpose: Purpose
    on: bool
    switches: tuple[Switch, ...]

    @property
    def partly(self) -> bool:
        return not self.on and any(switch.on for switch in self.switches)


def switches(policy: SitePolicy, choice: Choice | None) -> tuple[Group, ...]:
    """What can be agreed to, as it stands. A purpose of which a service is refused is shown by its services: saved as
    it is shown, nothing more is let in than was."""
    found = []
    for purpose in ASKED:
        asked = (*policy.asked, *policy.let_in_besides(choice))
        services = [service for service in asked if service.purpose is purpose]
        opened = {each.id: choice is not None and choice.grants(purpose, each.id) for each in services}
        whole = choice is not None and purpose in choice.purposes and all(opened.values())
        found.append(
            Group(
                purpose,
                whole,
                tuple(Switch(each.id, each.name, each.provider, opened[each.id] and not whole) for each in services),
            )
        )
    return tuple(found)


def render(policy: SitePolicy, banner: Banner, visitor: Visitor, tag: str, done: str = "") -> bytes:
    """The page, UTF-8. tag: the language. done: what has just been done, to be said."""
    words = policy.texts(tag)
    choice = visitor.effective
    config = policy.config
    contact = config.policy.contact or config.site.name
    page = (
        environment()
        .get_template("centre.html")
        .render(
            texts=words,
            tag=tag,
            site=config.site.name,
            logo=config.banner.theme.logo,
            policy_url=config.policy.url,
            style=f"/_privacy/centre.css?v={banner.centre_style.digest}",
            script=Markup(banner.script_tag(visitor)),  # noqa: S704 - made by us, escaped there
            clues=Markup(banner.clues(visitor)),  # noqa: S704
            lead=fill(words["centre"]["lead"], site=config.site.name),
            done=words["centre"][done] if done in _DONE else words["sign_in"][done] if done in _SIGNED_OUT else "",
            sign_in=sign_in.section(policy, visitor, words),
            state=_state(policy, visitor, words),
            withdrawable=choice is not None and not choice.refuses_all,
            shown=policy.shown,
            groups=switches(policy, choice),
            declaration=Markup(declaration.render(policy, tag)),  # noqa: S704
            held=[_shown(policy, pair, words) for pair in visitor.cookies],
            record=visitor.kept.record if visitor.kept is not None and visitor.kept.decided else None,
            objects=visitor.kept is not None and visitor.kept.objects,
            rights_text=_contact(words["centre"]["rights_text"], contact),
            restriction=_contact(words["rights"]["restriction_text"], contact),
            rectification=_contact(words["rights"]["rectification_text"], contact),
            complaint=_contact(words["rights"]["complaint_text"], contact, period=words.days(PROMISED_DAYS)),
            languages=sorted(((each, texts(each).data["name"]) for each in languages()), key=lambda pair: pair[1]),
        )
    )
    return page.encode()


def _state(policy: SitePolicy, visitor: Visitor, words: Texts) -> list[str]:
    """How things stand, in sentences."""
    said, centre = [], words["centre"]
    signal = SIGNAL_NAMES.get(visitor.signal, "")
    if visitor.choice is not None:
        made = policy.day(visitor.choice.time)
        until: date = made + timedelta(seconds=policy.config.consent.keep_for)
        said.append(fill(centre["state_choice"], date=words.date(made)))
        said.append(words.plural("centre", "state_open", policy.open_count(visitor.choice)))
        said.append(fill(centre["state_until"], date=words.date(until)))
        if signal:
            said.append(fill(centre["state_over_signal"], signal=signal))
    elif signal:
        said.append(fill(centre["state_signal"], signal=signal))
    else:
        said.append(words["banner"]["again"] if visitor.asked_again else centre["state_none"])
    if visitor.kept is not None and visitor.kept.objects:
        said.append(centre["state_objects"])
    return said


def _shown(policy: SitePolicy, pair: Pair, words: Texts) -> tuple[str, str, str]:
    value = pair.value[:_SHOWN] + ("…" if len(pair.value) > _SHOWN else "")
    return pair.name, value, str(words["purposes"][purpose_of(policy, pair.name)]["name"])


def _contact(text: str, contact: str, **values: str) -> Markup:
    """A text in which the contact can be written to by a click, where it is an address for mail."""
    link = Markup('<a href="mailto:{0}">{0}</a>').format(contact) if "@" in contact and " " not in contact else contact
    before, found, after = text.partition("{contact}")
    return Markup("{}{}{}").format(fill(before, **values), link if found else "", fill(after, **values))
