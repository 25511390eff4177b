"""The configuration made ready for requests: rules, cookie policy, signatures, hosts. Immutable; a reload makes a new
one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from publicsuffixlist import PublicSuffixList

from vestibule import catalogue
from vestibule.config import Config
from vestibule.config.models import Notice
from vestibule.core.blocklist import FilterList
from vestibule.core.consent import Choice, ChoiceSigner, Purpose, State, mark
from vestibule.core.cookie_policy import CookiePolicy, Declared
from vestibule.core.memo import Memo
from vestibule.core.receipts import ReceiptSigner
from vestibule.core.sign_in import Keeper
from vestibule.core.trackers import Cookie, Rules, Service
from vestibule.privacy.texts import Texts, overridden, texts

_MAX_CACHED = 1024
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
    declared = {
        name: Declared(cookie.purpose, harden=cookie.harden, scripts=cookie.scripts)
        for name, cookie in config.cookies.declare_.items()
    }

    def known(name: str) -> tuple[str, Purpose, State] | None:
        cookie = rules.cookie(name)
        verdict = rules.verdict(cookie.service) if cookie is not None else None
        return (cookie.service, cookie.purpose, verdict.state) if cookie is not None and verdict is not None else None

    return CookiePolicy(declared, known, State(config.cookies.unknown), config.sign_in.cookies)


class SitePolicy:
    """A configuration ready for use.

    secrets: newest first. dev: also answer for localhost, as the site's first host; a further site of the instance for
    NAME.localhost, which browsers take for this machine as well.
    """

    def __init__(self, config: Config, secrets: Sequence[str], *, dev: bool = False) -> None:
        self.config = config
        self.observe = config.mode == "observe"
        self.rules = build_rules(config)
        self.cookies = build_cookie_policy(config, self.rules)
        self.signer = ChoiceSigner(secrets, config.site.name, config.consent.keep_for)
        self.receipts = ReceiptSigner(secrets, config.site.name)
        self.keeper = Keeper(secrets, config.site.name)
        self.open_keep = Memo(self.keeper.open, _MAX_CACHED)
        """``keeper.open``, remembered: a browser sends the same token with every request."""
        self.hosts = frozenset(config.site.hosts)
        local = (f"{config.profile}.localhost",) if config.profile else LOCALHOST
        self.local = frozenset(local if dev else ())
        self.answered = self.hosts | self.local
        self.registrable = registrable(config.site.hosts[0]) or config.site.hosts[0]
        self.asked: tuple[Service, ...] = tuple(
            service for service, state in self.rules.services_in_use() if state is State.ASK
        )
        """The services that visitors are asked for, in the order in which they are shown."""
        self._marks = {service.id: mark(service.id, service.purpose) for service in self.asked}
        self._texts: dict[str, Texts] = {}
        self._digests: dict[str, str] = {}
        self._added: dict[object, tuple[str, ...]] = {}
        self._zone = ZoneInfo(config.site.timezone)
        shown = "\0".join((config.policy.revision, *sorted(self._marks.values())))
        self.shown = hashlib.sha256(shown.encode()).hexdigest()[:10]
        """A name for what is asked for today: which services, under which revision of the policy."""

    def answers_for(self, host: str) -> bool:
        """Whether a request's host (lower case, without port) is the site's."""
        return host in self.answered

    def cookie_domain(self, host: str) -> str | None:
        """The domain that a host shares the choice with; None where the choice is the host's own."""
        domain = self.config.cookies.domain
        return domain if domain is not None and (host == domain or host.endswith(f".{domain}")) else None

    # Words

    def texts(self, tag: str) -> Texts:
        """The texts of one of ``languages()``, the site's own words in place of ours."""
        found = self._texts.get(tag)
        if found is None:
            found = self._texts[tag] = overridden(texts(tag), self.config.banner.texts.get(tag, {}))
        return found

    def texts_digest(self, tag: str) -> str:
        """A hash (SHA-256, hexadecimal) of all that is shown in a language: the texts, and the services by purpose
        with what is said of them, so that a record proves what was agreed to."""
        found = self._digests.get(tag)
        if found is None:
            services = [[each.id, each.name, each.purpose.value, each.provider, each.sentence] for each in self.asked]
            shown = {"texts": self.texts(tag).data, "services": services, "age": self.config.consent.minimum_age}
            canonical = json.dumps(shown, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            found = self._digests[tag] = hashlib.sha256(canonical.encode()).hexdigest()
        return found

    def worded(self, by_language: dict[str, str], tag: str) -> str:
        """A text of the configuration in a language, else in English, else the first that there is; empty for none."""
        return by_language.get(self.spoken(by_language, tag), "")

    @staticmethod
    def spoken(by_language: dict[str, str], tag: str) -> str:
        """The language that :meth:`worded` finds a text in; empty for none."""
        wanted = (tag, tag.partition("-")[0], "en")
        return next((each for each in wanted if each in by_language), next(iter(by_language), ""))

    def notice(self, now: int) -> Notice | None:
        """The material change that is to be announced: from its date until it takes effect. now: seconds, UTC."""
        notice = self.config.policy.notice
        if notice is None:
            return None
        today = self.day(now)
        return notice if (notice.announced or today) <= today < notice.effective else None

    def day(self, time: int) -> date:
        """The day it is, or was, where the site is. time: seconds since the epoch, UTC."""
        return datetime.fromtimestamp(time, UTC).astimezone(self._zone).date()

    # What was shown, and what was added since

    def marks(self, purposes: frozenset[Purpose]) -> frozenset[str]:
        """Marks of the services that are asked for under these purposes."""
        return frozenset(self._marks[each.id] for each in self.asked if each.purpose in purposes)

    def mark_of(self, service: str) -> str:
        """The mark of a service that is asked for; empty for others."""
        return self._marks.get(service, "")

    def without_added(self, choice: Choice) -> tuple[Choice, tuple[str, ...]]:
        """A choice with the services refused that were added since to purposes it grants, and their ids: nobody has
        agreed to what was not shown."""
        if choice.shown is None or not choice.purposes:
            return choice, ()
        key = (choice.purposes, choice.shown, frozenset(choice.services))
        added = self._added.get(key)
        if added is None:
            added = tuple(
                each.id
                for each in self.asked
                if each.purpose in choice.purposes
                and each.id not in choice.services
                and self._marks[each.id] not in choice.shown
            )
            if len(self._added) >= _MAX_CACHED:
                self._added.clear()
            self._added[key] = added
        return (
            replace(choice, services={**choice.services, **dict.fromkeys(added, False)}) if added else choice
        ), added

    def open_count(self, choice: Choice | None) -> int:
        """How many of the services that are asked for may be loaded, and of what was let in besides."""
        asked = sum(choice is not None and choice.grants(each.purpose, each.id) for each in self.asked)
        return asked + len(self.let_in_besides(choice))

    def let_in_besides(self, choice: Choice | None) -> tuple[Service, ...]:
        """What a choice lets in by itself that no form names (under ``unknown: ask``): services that the configuration
        does not list, and hosts that nothing names, as services of which only the name is known."""
        if choice is None:
            return ()
        listed = {service.id for service in self.asked}
        found = []
        for name in sorted(choice.services):
            verdict = self.rules.named(name) if name not in listed and choice.services[name] else None
            if verdict is not None and verdict.state is State.ASK:
                service = self.rules.service(name)
                found.append(service or Service(id=name, name=verdict.host, purpose=verdict.purpose))
        return tuple(found)
