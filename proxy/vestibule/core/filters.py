"""Filters in Adblock syntax: one line of a list, read.

A list closes what the configuration might let pass, so a line that is misread must close too much rather than too
little. What holds nothing back by itself (comments, cosmetic rules, filters that change an answer instead of
refusing it, filters for other sites) is passed over. An option that is unknown is left out of a filter, which then
closes more; an exception with one is left out whole. Of several readings of ``domain=`` the one counts that closes.
What is left, where no reading is safe, raises `UnreadableError`: the list is then refused with its line, not read in
part.

The syntax has no standard; this follows what Adblock Plus and uBlock Origin document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from vestibule.core.errors import VestibuleError
from vestibule.core.urls import normal_host


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALL = _words("script stylesheet image media subdocument object ping xmlhttprequest websocket font document other")
"""What an address may be wanted for, in the syntax's words."""

_ALIASES = {
    "css": "stylesheet",
    "xhr": "xmlhttprequest",
    "frame": "subdocument",
    "doc": "document",
    "beacon": "ping",
    "background": "image",
    "object-subrequest": "object",
    "csp-report": "other",
    **{name: name for name in ALL},
}
_PARTY = {"third-party": True, "3p": True, "first-party": False, "1p": False}
_REFUSING = frozenset({"redirect", "rewrite", "empty", "mp4"})
"""Options that answer in the place of what is refused: refusing is what counts here."""
_CHANGING = _words(
    "csp permissions removeparam queryprune replace redirect-rule uritransform urltransform urlskip cookie "
    "removeheader hls jsonprune xmlprune badfilter"
)
"""Options of filters that change an answer, a request or another filter, but refuse nothing."""
_NO_LOADS = _words(
    "popup popunder webrtc inline-script inline-font generichide ghide specifichide shide elemhide ehide genericblock "
    "stealth content jsinject urlblock extension"
)
"""Types that are about something else than what a page loads."""

_COMMENT = re.compile(r"!|#(?:\s|$)|\[(?:adblock|ublock|adguard|\$)", re.IGNORECASE)
_INCLUDE = re.compile(r"!#include\s")
_COSMETIC = re.compile(r"#@?(?:[?$%]|\$\?)?#|\$@?\$(?=[a-z]|\[)", re.IGNORECASE)
_OPTIONS = re.compile(r"\$(~?[\w-]+(?:=(?:[^,\\]|\\.)*)?(?:,~?[\w-]+(?:=(?:[^,\\]|\\.)*)?)*)$")
_OPTION = re.compile(r"(~?)([\w-]+)(?:=((?:[^,\\]|\\.)*))?(?:,|$)")
_SCHEME = re.compile(r"(\|?)(?:https?|wss?|http\*)?:(?=//)", re.IGNORECASE)
_SOCKET = re.compile(r"\|?wss?://", re.IGNORECASE)
_HOST = re.compile(r"\|\|\.?([^/^*|?:]+?)\.?(:(?:80|443)(?=[/^*|]|$)|(?=[/^*|?:]|$))")
_PLAIN = re.compile(r"\|\|[a-z0-9-]+(?:\.[a-z0-9-]+)+\^(\$(?:third-party|3p))?")
_EXACT = re.compile(r"\|\|([a-z0-9._-]+|\[[0-9a-f:]+\])(?=[/^])")
_TOKEN = re.compile(r"(?<![a-z0-9%*])[a-z0-9]{3,}(?![a-z0-9%*])")
_COMMON = frozenset({"http", "https", "www", "com", "net", "org", "html", "php", "asp", "gif", "png", "jpg", "css"})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_END = r"(?:[^A-Za-z0-9_.%\-]|\Z)"


class UnreadableError(VestibuleError):
    """A line of a list that cannot be read, and for which no reading is safe: the list's fault."""


class Matcher(Protocol):
    """A compiled regular expression."""

    def search(self, text: str) -> object | None: ...


Compile = Callable[[str, bool], Matcher]
"""Compiles a regular expression (whether case matters); raises ValueError for one that it does not understand. It must
take linear time, since pages choose what is searched."""


@dataclass(frozen=True)
class Filter:
    """One filter.

    text: as written. where: ``file:line``. pattern: its address part, in lower case unless case matters.
    types: of ALL, what it is about. third_party: True, False, or None for both. spared: hosts that it does not close.
    """

    text: str
    where: str
    pattern: str
    exception: bool = False
    important: bool = False
    match_case: bool = False
    types: frozenset[str] = ALL
    third_party: bool | None = None
    spared: tuple[str, ...] = ()
    expression: Matcher | None = None

    @property
    def host(self) -> str | None:
        """The host that it is about with all its subdomains, where it names just one."""
        found = _EXACT.match(self.pattern)
        return found[1] if found is not None else None

    @property
    def token(self) -> str | None:
        """A word that every address it matches holds between other signs, the longest; None where there is none."""
        if self.expression is not None:
            return None
        pattern = self.pattern
        words = []
        for found in _TOKEN.finditer(pattern.lower()):
            if found[0] not in _COMMON and found.start() > 0 and found.end() < len(pattern):
                words.append(found[0])
        return max(words, key=len, default=None)

    def matches(self, address: str) -> bool:
        """Whether it names an address: ``https://``, host and path, in lower case unless `match_case`."""
        if self.expression is not None:
            return self.expression.search(address) is not None
        position = 0
        for piece, begins in self._pieces:
            found = piece.match(address, position) if begins else piece.search(address, position)
            if found is None:
                return False
            position = found.end()
        return True

    @cached_property
    def _pieces(self) -> tuple[tuple[re.Pattern[str], bool], ...]:
        """What stands between asterisks, each piece with whether it must come first. They are looked for one after the
        other, so that time grows with the address, not with its power."""
        pattern = self.pattern
        begins = pattern.startswith("|")
        head = r"https://(?:[^/?#]*\.)?" if pattern.startswith("||") else ""
        pattern = pattern.removeprefix("||") if head else pattern.removeprefix("|")
        ends = pattern.endswith("|")
        texts = pattern.removesuffix("|").split("*")
        pieces = []
        for index, text in enumerate(texts):
            source = "".join(_END if sign == "^" else re.escape(sign) for sign in text)
            source = head + source if index == 0 else source
            source += r"\Z" if ends and index == len(texts) - 1 else ""
            if source:
                pieces.append((re.compile(source), begins and index == 0))
        return tuple(pieces)


def read(line: str, where: str, site: Sequence[str], compile_: Compile) -> Filter | None:
    """Read one line; None for one that is not about what this site may load.

    where: ``file:line``. site: the hosts of the site's pages. Raises UnreadableError.
    """
    text = line.strip()
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return Filter(text, where, text.partition("$")[0], third_party=True if plain[1] else None)
    if _INCLUDE.match(text):
        raise UnreadableError("includes another list; name that list under lists, too")
    if not text or _COMMENT.match(text) or _COSMETIC.search(text):
        return None
    exception = text.startswith("@@")
    pattern, options = _parted(text[2:] if exception else text, exception, site)
    if options.elsewhere or (exception and options.unknown) or not options.types:
        return None
    made = Filter(
        text=text,
        where=where,
        pattern=pattern,
        exception=exception,
        important=options.important,
        match_case=options.match_case,
        types=options.types,
        third_party=options.third_party,
        spared=options.spared,
    )
    if _is_expression(pattern):
        return _with_expression(made, compile_)
    return _with_address(made, options)


def _parted(text: str, exception: bool, site: Sequence[str]) -> tuple[str, _Options]:
    """Part a filter into its address and its options."""
    options = _Options(exception, site)
    found = _OPTIONS.search(text)
    if found is None:
        return text, options
    for sign, name, value in _OPTION.findall(found[1]):
        options.take(name.lower(), value, not sign)
    address = text[: found.start()]
    if options.unknown and _is_expression(text) and not _is_expression(address):
        return text, _Options(exception, site)  # "$" is a part of the expression
    return address, options


def _is_expression(pattern: str) -> bool:
    return len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/")


def _with_expression(made: Filter, compile_: Compile) -> Filter | None:
    try:
        return replace(made, expression=compile_(made.pattern[1:-1], made.match_case))
    except ValueError as error:
        if made.exception:
            return None
        raise UnreadableError(f"has a regular expression that cannot be read: {error}") from None


def _with_address(made: Filter, options: _Options) -> Filter:
    """The filter with its address as browsers write it; refused where it may not mean what it says."""
    pattern, types = made.pattern, made.types
    if _UNPRINTABLE.search(pattern):
        raise UnreadableError("has a space or a control character in its address; is this a list of hosts?")
    rest = pattern.partition("$")[2]
    if rest and ("," in rest or "=" in rest or rest.lstrip("~") in _ALIASES.keys() | _PARTY.keys()):
        raise UnreadableError("has options that cannot be read")
    if types == ALL and _SOCKET.match(pattern):
        types = frozenset({"websocket"})
    pattern = _SCHEME.sub(r"\1https:", pattern, count=1) if _SCHEME.match(pattern) else pattern
    pattern = _with_host(pattern) if pattern.startswith("||") else pattern
    if not pattern.isascii():
        pattern = "".join(map(_percent_encoded, pattern))
    if not pattern.strip("*|^"):
        restricted = types != ALL or made.third_party is not None or options.here
        if not restricted or options.unknown:
            raise UnreadableError("names every address")
        pattern = "*"
    return replace(made, pattern=pattern if made.match_case else pattern.lower(), types=types)


def _with_host(pattern: str) -> str:
    """The pattern with the host that it begins with in lower case and Punycode, without a usual port."""
    found = _HOST.match(pattern)
    if found is None:
        return pattern
    host: str | None = found[1].lower()
    if not found[1].isascii():
        host = normal_host(found[1])
    if host is None:
        raise UnreadableError("has a host that cannot be read")
    return f"||{host}{pattern[found.end() :]}"


def _percent_encoded(sign: str) -> str:
    return sign if sign.isascii() else "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "replace"))


class _Options:
    """The options of one filter, taken one by one; what they mean hangs on whether it is an exception."""

    def __init__(self, exception: bool, site: Sequence[str]) -> None:
        self._exception = exception
        self._site = site
        self._named: set[str] = set()
        self._negated: set[str] = set()
        self.third_party: bool | None = None
        self.important = False
        self.match_case = False
        self.spared: tuple[str, ...] = ()
        self.unknown = False
        self.elsewhere = False
        """Whether the filter holds nothing back on this site."""
        self.here = False
        """Whether it names this site."""

    @property
    def types(self) -> frozenset[str]:
        return frozenset((self._named or ALL) & ALL - self._negated)

    def take(self, name: str, value: str, positive: bool) -> None:
        name = name.replace("_", "-") if name.strip("_") else "_"
        if name in _ALIASES:
            (self._named if positive else self._negated).add(_ALIASES[name])
        elif name in _PARTY:
            self.third_party = _PARTY[name] is positive
        elif name in ("domain", "from"):
            self._take_domains(value)
        elif name == "denyallow" and not self._exception:
            self.spared = tuple(host for host in value.lower().split("|") if host)
        elif name == "match-case":
            self.match_case = positive
        elif name == "important":
            self.important = positive
        elif name == "all":
            self._named |= ALL
        elif name in _CHANGING:
            self.elsewhere = True
        elif name in _NO_LOADS:
            self._named |= {name} if positive else set()
        elif name not in _REFUSING and name != "_":
            self.unknown = True

    def _take_domains(self, value: str) -> None:
        """``domain=``: on the pages of which sites. One site may have several hosts, and a verdict holds for all of
        them: a filter counts if it does on any of them, an exception only if it does on all."""
        if "/" in value:  # a regular expression: it may name this site
            self.elsewhere = self.elsewhere or self._exception
            return
        names = [name for name in re.split(r"[|,]", value.lower()) if name]
        included = [name for name in names if not name.startswith("~")]
        excluded = [name[1:] for name in names if name.startswith("~")]
        on = [
            (not included or any(_is_on(host, name, self._exception) for name in included))
            and not any(_is_on(host, name, not self._exception) for name in excluded)
            for host in self._site
        ]
        self.elsewhere = self.elsewhere or not (all(on) if self._exception else any(on))
        self.here = self.here or bool(included)


def _is_on(host: str, name: str, certainly: bool) -> bool:
    """Whether a host of the site is one that ``domain=`` names. certainly: in doubt it is not."""
    if name.endswith(".*"):
        return not certainly and f".{name[:-1]}" in f".{host}."
    name = name if name.isascii() else normal_host(name) or name
    return host == name or host.endswith("." + name)
