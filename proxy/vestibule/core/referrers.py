"""Where a visit came from: hosts, the sources they belong to, and those that are spam.

Referrer and source are one tree: ``news.ycombinator.com/item`` → ``news.ycombinator.com`` → ``social: Hacker News`` →
``social``. Its levels can be told apart by their looks: a group is one word of :data:`GROUPS`, a source has ``": "``,
a host has a dot and no slash, a page has a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vestibule.core.memo import Memo
from vestibule.core.pages import Folder, clean

MAX_KNOWN = 10_000
"""Hosts remembered."""
MAX_HOST = 253
"""Longest name of a host (RFC 1035, section 2.3.4)."""
MAX_REFERRER = 2048
"""Characters of a Referer that are looked at."""

DIRECT = "direct"
INTERNAL = "internal"
LINK = "link"
CAMPAIGN = "campaign"
ADS = "ads"
GROUPS = ("search", "social", "ai", "mail", ADS, LINK, CAMPAIGN, DIRECT, INTERNAL)
"""The uppermost level of the tree."""

_URL = re.compile(r"(?:https?|android-app|ios-app)://(?:[^/?#@\\]*@)?([^/?#:@\[\]\\]+)(?::\d*)?([^?#]*)", re.IGNORECASE)
_HOST = re.compile(r"(?:[\w](?:[\w-]{0,61}[\w])?\.)+[^\W\d_][\w-]{0,61}[\w]", re.UNICODE)
_SECOND_LEVEL = frozenset("ac co com edu gob gov info mil ne net nom or org pp web".split())  # noqa: SIM905
"""Labels under which countries sell names, as in ``google.co.uk``."""


def split(referrer: str) -> tuple[str, str]:
    """Return host and path of a Referer (RFC 9110, section 10.1.3): lower case, without port, ``www.`` and user.

    The host is empty where there is none that the public internet would know.
    """
    match = _URL.match(referrer[:MAX_REFERRER])
    if match is None:
        return "", ""
    host = match[1].lower().removesuffix(".")
    if host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    if len(host) > MAX_HOST or not _HOST.fullmatch(host):
        return "", ""
    return host, match[2]


def names_of(host: str) -> Iterator[str]:
    """Yield a host and all names above it, the longest first."""
    while host:
        yield host
        host = host.partition(".")[2]


class Referrers:
    """What is known of hosts.

    data: ``sources`` (group → name → hosts), ``labels`` (group → first labels of hosts that belong to it whatever they
    are called), ``names`` (what campaigns call a source → source), ``paid`` (a source's name → that of its
    advertisements), ``clicks`` (query parameter → source), ``spam`` (``hosts``, and ``words``: patterns). A host stands
    for itself and all below it, ``google.*`` for that name under every public suffix; the longest match wins. A name
    may be empty: then only the group is known.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._hosts: dict[str, str] = {}
        self._stems: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for group, names in data.get("sources", {}).items():
            for name, hosts in names.items():
                self._add(f"{group}: {name}" if name else group, hosts)
        self._labels = {label: group for group, labels in data.get("labels", {}).items() for label in labels}
        self._names.update(data.get("names", {}))
        self._paid: Mapping[str, str] = data.get("paid", {})
        self.clicks: Mapping[str, str] = dict(data.get("clicks", {}))
        spam = data.get("spam", {})
        self._spam_hosts = frozenset(spam.get("hosts", ()))
        words = spam.get("words", ())
        self._spam_words = re.compile("|".join(words)) if words else None
        self._folder = Folder()
        self.is_spam = Memo(self._is_spam, MAX_KNOWN)
        """Whether a host (as :func:`split` returns it) is told as a referrer by those who want to be looked up."""

    def _add(self, source: str, hosts: Sequence[str]) -> None:
        if ": " in source:
            self._names.setdefault(source.partition(": ")[2].lower(), source)
        for host in hosts:
            if host.endswith(".*"):
                self._stems[host[:-2]] = source
            else:
                self._hosts[host] = source

    def source(self, host: str) -> str:
        """Return the source of a host, ``"social: Facebook"``, or ``"link"`` where nothing is known of it."""
        labels = host.split(".")
        end = len(labels) - (2 if len(labels) > 2 and labels[-2] in _SECOND_LEVEL else 1)
        for start in range(len(labels)):
            found = self._hosts.get(".".join(labels[start:]))
            if found is None and start < end:
                found = self._stems.get(".".join(labels[start:end]))
            if found is not None:
                return found
        return self._labels.get(labels[0], LINK) if len(labels) > 2 else LINK

    def named(self, name: str) -> str:
        """Return the source that a campaign calls ``name`` (``utm_source``): ``"campaign: NAME"`` where unknown."""
        name = clean(name)
        if not name:
            return CAMPAIGN
        found = self._names.get(name)
        if found is None and "." in name and self.source(name) != LINK:
            found = self.source(name)
        return found or f"{CAMPAIGN}: {name}"

    def paid(self, source: str) -> str:
        """Return the source of visits that were paid for, given where they came from, which may be unknown."""
        group, _, name = source.partition(": ")
        if not name or group == CAMPAIGN:
            return ADS
        return f"{ADS}: {self._paid.get(name, name)}"

    def page(self, host: str, path: str) -> str:
        """Return the leaf of the tree for a referring page: host and folded path."""
        folded = self._folder.fold(path)
        return host if folded == "/" else host + folded

    def parents(self, value: str) -> tuple[str, ...]:
        """Return the ancestors of a value of the tree, the nearest first: page → host → source → group."""
        group, colon, _ = value.partition(": ")
        if group in GROUPS:
            return (group,) if colon else ()
        host, slash, _ = value.partition("/")
        source = self.source(host)
        above = (source,) if source in GROUPS else (source, source.partition(": ")[0])
        return (host, *above) if slash else above

    def _is_spam(self, host: str) -> bool:
        if any(name in self._spam_hosts for name in names_of(host)):
            return True
        if self._spam_words is None or not self._spam_words.search(host):
            return False
        return self.source(host) == LINK
