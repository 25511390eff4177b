"""The headers of the site's answer on their way to the visitor: cookies, addresses, policies, what caches are told."""

from __future__ import annotations

import re

from vestibule.core import caching
from vestibule.core.cookies import SetCookie, removal
from vestibule.core.csp import open_own
from vestibule.core.html.elements import refresh_target
from vestibule.core.urls import absolute
from vestibule.middleware.asked import Asked
from vestibule.middleware.gate import Gate
from vestibule.middleware.passage import Passage
from vestibule.middleware.passing import HARMLESS
from vestibule.middleware.request import Header, is_ours
from vestibule.middleware.seen import Seen
from vestibule.privacy.removing import is_own

REPORTING = frozenset(
    {
        b"report-to",
        b"nel",
        b"reporting-endpoints",
        b"speculation-rules",
        b"alt-svc",
        b"attribution-reporting-register-source",
        b"attribution-reporting-register-trigger",
        b"observe-browsing-topics",
        b"supports-loading-mode",
    }
)
"""Headers that make browsers contact others without a page's doing. Those of the site itself go too: what they name
cannot be told from a tracker, and nothing that visitors see depends on them."""

_KEPT = HARMLESS - caching.NEVER - {b"cache-control", b"etag"}
"""Headers that stay as they are, whatever the answer is."""

_LINE = re.compile(rb"[^\x00\r\n]*")
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)
_LOADING = frozenset(
    {
        "preload",
        "prefetch",
        "modulepreload",
        "preconnect",
        "dns-prefetch",
        "prerender",
        "stylesheet",
        "icon",
        "manifest",
    }
)


class Fields:
    """Filters the headers of one answer.

    passage: what the exchange has to do with signing in. seen: takes note of the cookies that were held back, and of
    what the site says of counting.
    """

    __slots__ = ("_differs", "_gate", "_passage", "_policy", "_prepared", "_seen", "_snapshot", "_target", "_visitor")

    def __init__(self, asked: Asked, passage: Passage, seen: Seen) -> None:
        self._snapshot = asked.snapshot
        self._policy = asked.snapshot.policy
        self._visitor = asked.known.visitor
        self._prepared = asked.known.prepared
        self._target = asked.target
        self._passage = passage
        self._seen = seen
        self._differs = False
        self._gate: Gate | None = None

    @property
    def gate(self) -> Gate:
        """What decides on the addresses in the headers; made where there are any."""
        if self._gate is None:
            self._gate = Gate(self._policy, self._visitor, self._snapshot.origins)
        return self._gate

    @property
    def blocked(self) -> dict[tuple[str, str, str], None]:
        """What was held back in the headers."""
        return {} if self._gate is None else self._gate.blocked

    @property
    def variant(self) -> str:
        """See ``Snapshot.variant``."""
        return self._prepared.variant or self._snapshot.variant(self._visitor, self._prepared.wanted_for)

    def filter(self, headers: list[Header], *, rewritten: bool, active: bool) -> list[Header]:
        """The fields, whose names are in lower case, as the visitor gets them. rewritten: the body becomes another one.
        active: it may run by itself, so that its policy is another one where it does."""
        kept: list[Header] = []
        cache_control, varied = "", ""
        for item in headers:
            name, value = item
            if name in _KEPT:
                kept.append(item)
            elif name == b"set-cookie":
                passed = self._cookie(value)
                if passed is not None:
                    kept.append((name, passed))
                else:
                    self._differs = True
            elif name in REPORTING or is_ours(name):
                self._note(name, value)
                if self._policy.observe and name in REPORTING:
                    kept.append(item)
            elif name == b"link":
                self._differs |= b"//" in value
                kept.extend((name, link.encode("latin-1")) for link in self._links(value.decode("latin-1")))
            elif name == b"refresh":
                self._differs |= b"//" in value
                if self._may_refresh(value.decode("latin-1")):
                    kept.append(item)
            elif name in (b"content-security-policy", b"content-security-policy-report-only"):
                opened = open_own(value.decode("latin-1"), self._snapshot.banner.parts(self._visitor.origin), self._may)
                if opened:
                    kept.append((name, opened.encode("latin-1")))
            elif rewritten and name in caching.NEVER:
                continue
            elif rewritten and name == b"cache-control":
                cache_control += "," + value.decode("latin-1")
            elif name == b"vary":
                varied += "," + value.decode("latin-1")
            elif rewritten and name == b"etag":
                tag = caching.wrap(value.decode("latin-1"), self.variant)
                if tag is not None:
                    kept.append((name, tag.encode("latin-1")))
            else:
                kept.append(item)
        if rewritten:
            kept.append((b"cache-control", caching.private(cache_control).encode()))
        varied = self._vary(varied.strip(","), rewritten=rewritten, active=active)
        if varied:
            kept.append((b"vary", varied.encode("latin-1")))
        cookies = list(self._passage.cookies)
        if (self._prepared.document or rewritten) and not self._policy.observe:
            cookies.extend(self._snapshot.endpoints.removals(self._visitor, self._prepared.refused, self._target))
        if not rewritten and (cookies or self._differs or self._passage.told):
            kept = caching.only_for_one(kept)
        kept.extend(cookies)
        lock = self._snapshot.lock(self._visitor) if rewritten else self._prepared.lock
        if lock is not None:
            kept.append(lock)
            if rewritten and not self._policy.observe:
                # Browsers look names of links up ahead on plain http, and where a page's <meta> asks for it.
                kept = [item for item in kept if item[0] != b"x-dns-prefetch-control"]
                kept.append((b"x-dns-prefetch-control", b"off"))
        return kept

    @staticmethod
    def _vary(varied: str, *, rewritten: bool, active: bool) -> str:
        """By what caches are to tell visitors apart. They never see the words by which we tell the site."""
        if rewritten or "vestibule-" in varied.lower():
            varied = caching.vary(varied, "Cookie", "Sec-GPC", "DNT", *(("Accept-Language",) if rewritten else ()))
        return caching.vary(varied, "Sec-Fetch-Dest") if active and not rewritten else varied

    def _cookie(self, value: bytes) -> bytes | None:
        """A cookie as it may be set, None where it may not. A refused one may still be removed."""
        cookie = SetCookie.parse(value.decode("latin-1"))
        if cookie is None:
            return value if self._policy.observe and _LINE.fullmatch(value) else None
        if is_own(cookie.name):
            return None
        verdict = self._policy.cookies.decide(cookie.name)
        if verdict.passes(self._visitor.effective):
            return str(self._passage.cookie(cookie, verdict)).encode("latin-1")
        if cookie.removes(self._visitor.now):
            return str(removal(cookie)).encode("latin-1")
        if len(self._seen.cookies) < 32:
            held = verdict.service or f"cookie:{cookie.name}"
            self._seen.cookies = {**self._seen.cookies, held: verdict.purpose.value}
        return value if self._policy.observe else None

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"vestibule-count" and value.strip().lower() == b"no":
            self._seen.count = False

    def _may(self, url: str, kind: str = "csp") -> bool:
        """Whether an address, relative to the page, may be contacted."""
        resolved = absolute(url, self._visitor.origin + self._target)
        return resolved is not None and self.gate.url(resolved, kind) is None

    def _may_refresh(self, value: str) -> bool:
        target = refresh_target(value)
        return not target or self._may(target, "navigate")

    def _links(self, value: str) -> list[str]:
        """The entries of ``Link`` (RFC 8288) that load nothing from a closed host."""
        kept = []
        for match in _LINK.finditer(value):
            relations = {word.lower() for found in _REL.findall(match[2]) for word in (found[0] or found[1]).split()}
            if relations & _LOADING and not self._may(match[1], "hint"):
                continue
            kept.append(match[0])
        return kept
