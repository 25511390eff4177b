"""The configuration made ready for requests: rules, cookie policy, signatures, hosts. Immutable; a reload makes a new
one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from publicsuffixlist import PublicSuffixList

from vestibule import catalogue
from vestibule.config import Config
from vestibule.core.blocklist import FilterList
from vestibule.core.consent import ChoiceSigner, Purpose, State
from vestibule.core.cookies import CookiePolicy
from vestibule.core.trackers import Cookie, Rules, Service

LOCALHOST = ("localhost", "127.0.0.1", "::1")


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@lru_cache(maxsize=4096)
def registrable(host: str) -> str | None:
    """The domain under which someone registered a host (public suffix list); None for a suffix itself."""
    found = _suffixes().privatesuffix(host)
    return str(found) if found else None


def build_rules(config: Config) -> Rules:
    """The rules on third parties that ``trackers.yaml`` and the catalogue make together."""
    trackers = config.trackers
    custom = [
        Service(
            id=name,
            name=own.name or name,
            purpose=own.purpose,
            hosts=own.hosts,
            paths=own.paths,
            inline=own.inline,
            cookies=tuple(Cookie(pattern, own.purpose, None, name) for pattern in own.cookies),
        )
        for name, own in trackers.custom.items()
    ]
    where = {
        setting.partition(".")[2]: line
        for setting, line in config.where.items()
        if setting.startswith(("services.", "custom.")) and setting.count(".") == 1
    }
    where |= {"unknown": config.where["unknown"]} if "unknown" in config.where else {}
    return Rules(
        catalogue.load().services,
        states=trackers.services,
        unknown=trackers.unknown,
        first_party=config.site.hosts,
        exactly=config.site.first_party,
        registrable=registrable,
        custom=custom,
        custom_states={name: own.state for name, own in trackers.custom.items()},
        cname=trackers.cname,
        where=where,
        lists=[FilterList(config.filters, partial(_is_own, config))] if config.filters else [],
    )


def _is_own(config: Config, host: str) -> bool:
    """Whether a host is first party to the site's pages, as Rules has it."""
    if host in config.site.hosts or host in config.site.first_party:
        return True
    return (registrable(host) or host) in {registrable(name) or name for name in config.site.hosts}


def build_cookie_policy(config: Config, rules: Rules) -> CookiePolicy:
    """The rules on the site's cookies: what it declares, then what the catalogue knows, then ``cookies.unknown``."""
    declared = {name: cookie.purpose for name, cookie in config.cookies.declare_.items()}
    declared |= {name: Purpose.NECESSARY for name in config.sign_in.cookies if name not in declared}

    def known(name: str) -> tuple[str, Purpose, State] | None:
        cookie = rules.cookie(name)
        verdict = rules.verdict(cookie.service) if cookie is not None else None
        return (cookie.service, cookie.purpose, verdict.state) if cookie is not None and verdict is not None else None

    return CookiePolicy(declared, known, State(config.cookies.unknown))


class SitePolicy:
    """A configuration ready for use.

    secrets: newest first. dev: also answer for localhost, as the site's first host.
    """

    def __init__(self, config: Config, secrets: Sequence[str], *, dev: bool = False) -> None:
        self.config = config
        self.observe = config.mode == "observe"
        self.rules = build_rules(config)
        self.cookies = build_cookie_policy(config, self.rules)
        self.signer = ChoiceSigner(secrets, config.site.name, config.consent.keep_for)
        self.hosts = frozenset(config.site.hosts)
        self.local = frozenset(LOCALHOST) if dev else frozenset()
        self.registrable = registrable(config.site.hosts[0]) or config.site.hosts[0]

    def answers_for(self, host: str) -> bool:
        """Whether a request's host (lower case, without port) is the site's."""
        return host in self.hosts or host in self.local
