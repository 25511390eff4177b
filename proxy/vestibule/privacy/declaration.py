"""The declaration: everything that may be loaded or stored, by purpose, as a table for visitors.

It is made from the configuration and the catalogue, in the privacy centre and wherever a page of the site has a place
for it, so that what the site says it uses is what it may use.
"""

from __future__ import annotations

from dataclasses import dataclass

from vestibule.core.consent import ASKED, Purpose, State
from vestibule.core.trackers import Service
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import Texts
from vestibule.privacy.visitor import CHOICE_COOKIE


@dataclass(frozen=True, slots=True)
class Item:
    """Cookies, or keys of the browser's storage, that are kept alike. duration: in words; empty where nothing is
    stored."""

    names: tuple[str, ...] = ()
    duration: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A service, or the site itself. always: it needs no consent."""

    name: str
    provider: str
    cookies: tuple[Item, ...]
    country: str = ""
    sentence: str = ""
    policy: str = ""
    always: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A purpose with what belongs to it."""

    purpose: Purpose
    rows: tuple[Row, ...]


def groups(policy: SitePolicy, texts: Texts) -> tuple[Group, ...]:
    """Everything that may be loaded or stored, in the words of a language."""
    found: dict[Purpose, list[Row]] = {purpose: [] for purpose in (Purpose.NECESSARY, *ASKED)}
    site = policy.config.site.name
    choice = Item((CHOICE_COOKIE,), texts.duration(policy.config.consent.keep_for), texts["cookie"]["own"])
    found[Purpose.NECESSARY].append(Row("Vestibule", site, (choice,)))
    for purpose in found:
        own = _own_cookies(policy, purpose)
        if own:
            item = Item(tuple(own), texts["cookie"]["unknown"])
            found[purpose].append(Row(texts["cookie"]["site"], site, (item,)))
    for service, state in policy.rules.services_in_use():
        purpose = Purpose.NECESSARY if state is State.ALLOW else service.purpose
        found[purpose].append(_row(service, texts, always=state is State.ALLOW))
    return tuple(Group(purpose, tuple(rows)) for purpose, rows in found.items())


def _own_cookies(policy: SitePolicy, purpose: Purpose) -> list[str]:
    """The site's own cookies under a purpose; what a visitor is signed in by is necessary."""
    names = [name for name, cookie in policy.config.cookies.declare_.items() if cookie.purpose is purpose]
    if purpose is Purpose.NECESSARY:
        names += [name for name in policy.config.sign_in.cookies if name not in policy.config.cookies.declare_]
    return names


def _row(service: Service, texts: Texts, *, always: bool) -> Row:
    words = texts["cookie"]
    alike: dict[tuple[int | None, str], list[str]] = {}
    for cookie in service.cookies:
        remark = words["foreign"] if cookie.third_party else ""
        alike.setdefault((cookie.duration, remark), []).append(cookie.pattern)
    if service.storage:
        alike[None, words["storage"]] = list(service.storage)
    items = [Item(tuple(names), _duration(kept, texts), remark) for (kept, remark), names in alike.items()]
    return Row(
        name=service.name,
        provider=service.provider,
        cookies=tuple(items) or (Item(),),
        country=texts.country(service.country) if service.country else "",
        sentence=service.sentence,
        policy=service.policy,
        always=always,
    )


def _duration(seconds: int | None, texts: Texts) -> str:
    if seconds is None:
        return str(texts["cookie"]["unknown"])
    return texts.duration(seconds) if seconds else str(texts["cookie"]["session"])


def render(policy: SitePolicy, tag: str) -> str:
    """The declaration in one of ``languages()``: HTML without a heading of its own."""
    texts = policy.texts(tag)
    return environment().get_template("declaration.html").render(texts=texts, groups=groups(policy, texts))


def placed(policy: SitePolicy, tag: str) -> bytes:
    """The declaration for a place in a page of the site, UTF-8: it says which language it is in."""
    direction = policy.texts(tag).direction
    inner = render(policy, tag)
    return f'<div class="vestibule-declaration" lang="{tag}" dir="{direction}">\n{inner}</div>'.encode()
