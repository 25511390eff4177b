"""The privacy centre: one page that shows everything and lets everything be changed, without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from vestibule.core.consent import ASKED, Purpose, State
from vestibule.privacy.banner import Banner
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import choose, texts
from vestibule.privacy.visitor import CHOICE_COOKIE, KEEP_COOKIE, Visitor

_SHOWN = 60
_SIGNALS = {"gpc": "Global Privacy Control", "dnt": "Do Not Track"}


@dataclass(frozen=True, slots=True)
class Row:
    """A service or a site's cookie in the list."""

    name: str
    provider: str
    country: str
    sentence: str
    policy: str
    cookies: tuple[tuple[str, int | None], ...]
    always: bool = False


def rows(policy: SitePolicy) -> dict[Purpose, tuple[Row, ...]]:
    """Everything that may be loaded or stored, by purpose."""
    found: dict[Purpose, list[Row]] = {purpose: [] for purpose in (Purpose.NECESSARY, *ASKED)}
    for name, cookie in policy.config.cookies.declare_.items():
        found[cookie.purpose].append(Row(name, policy.config.site.name, "", "", "", ((name, None),)))
    found[Purpose.NECESSARY].append(
        Row(
            "Vestibule",
            policy.config.site.name,
            "",
            "",
            "",
            ((CHOICE_COOKIE, policy.config.consent.keep_for),),
        )
    )
    for service, state in policy.rules.services_in_use():
        purpose = Purpose.NECESSARY if state is State.ALLOW else service.purpose
        cookies = tuple((cookie.pattern, cookie.duration) for cookie in service.cookies)
        found[purpose].append(
            Row(
                service.name,
                service.provider,
                service.country,
                service.sentence,
                service.policy,
                cookies,
                always=state is State.ALLOW,
            )
        )
    return {purpose: tuple(items) for purpose, items in found.items()}


def purpose_of(policy: SitePolicy, cookie: str) -> str:
    """The purpose of a cookie in words of the configuration."""
    bare = cookie.removeprefix("__Host-").removeprefix("__Secure-")
    if bare in (CHOICE_COOKIE, KEEP_COOKIE):
        return Purpose.NECESSARY.value
    return policy.cookies.decide(cookie).purpose.value


def render(policy: SitePolicy, banner: Banner, visitor: Visitor) -> bytes:
    """The page, UTF-8."""
    language = choose(visitor.language)
    choice = visitor.effective
    page = (
        environment()
        .get_template("centre.html")
        .render(
            texts=texts(language),
            tag=language,
            site=policy.config.site.name,
            contact=policy.config.policy.contact,
            policy_url=policy.config.policy.url,
            style=f"/_privacy/centre.css?v={banner.centre_style.digest}",
            script=banner.script_tag(visitor),
            clearing=banner.clearing(visitor),
            choice=choice,
            chosen=visitor.choice is not None,
            date=datetime.fromtimestamp(choice.time, UTC).date().isoformat() if choice else "",
            signal=_SIGNALS.get(visitor.signal, ""),
            granted=choice.purposes if choice else frozenset(),
            services=[name for name, on in choice.services.items() if on] if choice else [],
            service_name=lambda name: (policy.rules.service(name) or _Unnamed(name)).name,
            asked=ASKED,
            rows=rows(policy),
            purposes=(Purpose.NECESSARY, *ASKED),
            held=[
                (
                    pair.name,
                    pair.value[:_SHOWN] + ("…" if len(pair.value) > _SHOWN else ""),
                    purpose_of(policy, pair.name),
                )
                for pair in visitor.cookies
            ],
        )
    )
    return page.encode()


@dataclass(frozen=True, slots=True)
class _Unnamed:
    name: str
