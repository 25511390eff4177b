"""Who asks, as far as it matters: the choice in their cookie, their browser's signals, their language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vestibule.core.consent import Choice
from vestibule.core.cookies import Pair, parse_cookie
from vestibule.core.sign_in import SignIn
from vestibule.privacy.policy import SitePolicy

SIGNALS = {"gpc": b"sec-gpc", "dnt": b"dnt"}
SIGNAL_NAMES = {"gpc": "Global Privacy Control", "dnt": "Do Not Track"}
CHOICE_COOKIE = "vestibule"
KEEP_COOKIE = "keep"
OBJECTION = "objection"


def cookie_name(base: str, *, secure: bool, domain: str | None) -> str:
    """The name of a cookie of ours. On https only prefixed names are used, which no subdomain and no page sent in
    the clear can set (RFC 6265bis, section 4.1.3); plain http knows no prefix."""
    if not secure:
        return base
    return f"__Secure-{base}" if domain else f"__Host-{base}"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What one request says of its sender.

    scheme, host, authority: as the visitor's browser sees the site (authority with its port). cookies: all that came,
    in order. choice: their own valid choice under the present policy, None without one. signal: ``gpc`` or ``dnt``
    where the browser refuses for them, else empty. now: seconds since the epoch, UTC. kept: what their cookie says,
    also where it is of another policy or no choice at all. added: ids of the services that were added, since the
    choice, to purposes that it grants; until they are asked for, they are refused in ``choice``. sign_in: what the
    cookie means that keeps them signed in; None without one.
    """

    scheme: str
    host: str
    authority: str
    cookies: tuple[Pair, ...]
    choice: Choice | None
    signal: str
    language: str
    now: int
    kept: Choice | None = None
    added: tuple[str, ...] = ()
    sign_in: SignIn | None = None

    @property
    def secure(self) -> bool:
        """Whether the visitor came over TLS, as far as trusted proxies say."""
        return self.scheme in ("https", "wss")

    @property
    def origin(self) -> str:
        """The origin that the visitor's browser sees, such as ``https://relaso.com``."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    @property
    def effective(self) -> Choice | None:
        """What holds: their own choice before their browser's signal; None where they have still to be asked."""
        if self.choice is not None or not self.signal:
            return self.choice
        return Choice(purposes=frozenset(), revision="", time=self.now)

    @property
    def objects(self) -> str:
        """What keeps them from being counted: their own objection, or their browser's signal; a choice does not change
        that they object."""
        return OBJECTION if self.kept is not None and self.kept.objects else self.signal

    @property
    def asked_again(self) -> bool:
        """Whether they made a choice under another revision of the policy."""
        return self.choice is None and self.kept is not None and self.kept.decided


def read(policy: SitePolicy, scheme: str, authority: str, headers: Iterable[tuple[bytes, bytes]], now: int) -> Visitor:
    """Read a request's headers (names in lower case)."""
    config = policy.config
    jar: list[Pair] = []
    language = ""
    signals: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"cookie":
            jar.extend(parse_cookie(value.decode("latin-1")))
        elif name == b"accept-language":
            language = language or value.decode("latin-1")
        elif name in (b"sec-gpc", b"dnt"):
            signals[name] = value.strip()
    authority = authority.lower()
    host = hostname(authority)
    kept = _kept(policy, jar, scheme, host, now)
    choice: Choice | None = None
    added: tuple[str, ...] = ()
    if kept is not None and kept.decided and kept.revision == config.policy.revision:
        choice, added = policy.without_added(kept)
    signal = next((each for each in config.consent.honour if signals.get(SIGNALS[each]) == b"1"), "")
    return Visitor(scheme, host, authority, tuple(jar), choice, signal, language, now, kept, added)


def hostname(authority: str) -> str:
    """The host of an authority, in lower case, without port and brackets."""
    host, _, port = authority.lower().rpartition(":")
    return (host if port.isdigit() else authority.lower()).strip("[]")


def _kept(policy: SitePolicy, jar: Iterable[Pair], scheme: str, host: str, now: int) -> Choice | None:
    own = cookie_name(CHOICE_COOKIE, secure=scheme in ("https", "wss"), domain=policy.cookie_domain(host))
    for pair in jar:
        if pair.name == own:
            kept = policy.signer.loads(pair.value, now)
            if kept is not None:
                return kept
    return None
