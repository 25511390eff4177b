"""What can be set: the models of ``site.yaml`` and ``trackers.yaml``, the only truth of settings and defaults.

Annotations are evaluated where they stand: pydantic reads all of them when the classes are made, and would have to
compile each from its text.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator

from vestibule.config.values import (
    DAY,
    MONTH,
    YEAR,
    AccessLog,
    Colour,
    CookieName,
    Duration,
    Font,
    FrameOrigin,
    Host,
    Issuer,
    Language,
    Listen,
    ListFile,
    LongText,
    Network,
    Origin,
    Peer,
    PolicyUrl,
    PublicListen,
    ServiceId,
    Signature,
    SitePath,
    Size,
    StoreUrl,
    Text,
    Zone,
)
from vestibule.core.purposes import Purpose, State

if TYPE_CHECKING:
    from vestibule.core.filters import Filter
else:  # not loaded for all who have no lists; nothing is held against it
    Filter = Any


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Site(Model):
    """The site behind Vestibule."""

    name: Text = Field(description="The site's name: in the banner, in signatures' salts, in the statistics.")
    hosts: tuple[Host, ...] = Field(
        min_length=1, description="Host names answered for; any other Host gets 421. Ports don't matter."
    )
    first_party: tuple[Host, ...] = Field(
        (), description="More hosts that are ours; those under the registered domain of site.hosts are anyway."
    )
    upstream: Origin = Field(description="Where requests go: http://…, https://… or unix:/path.")
    upstream_ca: Path | None = Field(
        None,
        description="PEM file of the only authorities whose signature on an https upstream's certificate counts;"
        " the system's where it is left out.",
    )
    timezone: Zone = Field("UTC", description="Where days begin.")


class Notice(Model):
    """A material change that is announced before it takes effect."""

    effective: date = Field(description="The day on which the change takes effect.")
    announced: date | None = Field(
        None, description="The day from which it is shown, at least 30 days before; at once if left out."
    )
    text: dict[Language, LongText] = Field(
        min_length=1, description="What changes, by language; who reads none of these sees en, or else the first."
    )


class Policy(Model):
    """The privacy policy that visitors agree under."""

    revision: Text = Field("1", description="A new value asks everyone again.")
    url: PolicyUrl = Field("/privacy", description="The policy's address.")
    contact: str = Field("", max_length=200, description="Whom to write to about privacy.")
    notice: Notice | None = Field(None, description="A change, announced on every page 30 days ahead.")


class Consent(Model):
    """How long a choice is kept, and which signals are refusals."""

    keep_for: Annotated[Duration, Field(le=400 * 86400)] = Field(
        default=180 * DAY, description="Life of a choice; browsers keep no cookie longer than 400 days."
    )
    minimum_age: int = Field(16, ge=0, le=21, description="Age from which one may agree (GDPR art. 8).")
    honour: tuple[Literal["gpc", "dnt"], ...] = Field(("gpc", "dnt"), description="Signals that count as a refusal.")
    prove_for: Duration = Field(default=5 * YEAR, description="How long consent records are kept as proof.")


class Colours(Model):
    """The colours of one scheme, by default those where the visitor's system is light."""

    background: Colour = Field("#ffffff", description="Behind everything.")
    text: Colour = Field("#1c2430", description="Text.")
    soft: Colour = Field("#56616f", description="Text of less weight.")
    line: Colour = Field("#d5dbe3", description="Lines and borders.")
    accent: Colour = Field("#1f4b99", description="Links, switches, focus.")
    accept: Colour | None = Field(None, description="The button that accepts; as accent.")
    on_accept: Colour = Field("#ffffff", description="Its text.")
    reject: Colour | None = Field(None, description="The button that rejects; as accept. Never less visible.")
    on_reject: Colour | None = Field(None, description="Its text; as on_accept.")

    def resolved(self) -> dict[str, str]:
        """Every colour by its name, none missing."""
        accept = self.accept or self.accent
        return {
            "background": self.background,
            "text": self.text,
            "soft": self.soft,
            "line": self.line,
            "accent": self.accent,
            "accept": accept,
            "on_accept": self.on_accept,
            "reject": self.reject or accept,
            "on_reject": self.on_reject or self.on_accept,
        }


class DarkColours(Colours):
    """Where the visitor's system is dark."""

    background: Colour = Field("#171c24", description="Behind everything.")
    text: Colour = Field("#eef2f7", description="Text.")
    soft: Colour = Field("#aab4c2", description="Text of less weight.")
    line: Colour = Field("#36404e", description="Lines and borders.")
    accent: Colour = Field("#8fb6ff", description="Links, switches, focus.")
    on_accept: Colour = Field("#0d1522", description="Its text.")


class Theme(Model):
    """How the banner, the centre and all else of ours look. Refused where contrast is below WCAG 2.2 AA."""

    position: Literal["bottom", "corner", "top"] = Field("bottom", description="Where the banner stands.")
    radius: int = Field(14, ge=0, le=40, description="Roundness of corners, px.")
    font: Font = Field("system-ui, sans-serif", description="Fonts, the first that there is.")
    logo: SitePath | None = Field(None, description="A picture on this site, shown small above the title.")
    light: Colours = Field(default_factory=Colours.model_construct, description="Where the visitor's system is light.")
    dark: DarkColours = Field(
        default_factory=DarkColours.model_construct, description="Where the visitor's system is dark."
    )


class FooterLink(Model):
    """The way back to the choice, on every page."""

    place: Literal["footer", "corner", "none"] = Field(
        "footer", description="footer: at the page's end; corner: always in sight; none: the site has its own."
    )
    text: dict[Language, Text] = Field(default_factory=dict, description="Its words by language, in place of ours.")


class Banner(Model):
    """What visitors see of Vestibule."""

    theme: Theme = Field(default_factory=Theme.model_construct, description="Looks.")
    link: FooterLink = Field(default_factory=FooterLink.model_construct, description="The way back to the choice.")
    texts: dict[Language, dict[str, Any]] = Field(
        default_factory=dict,
        description="Words in place of ours: {en: {banner: {title: …}}}, by the keys of static/banner/locales/en.json.",
    )


class DeclaredCookie(Model):
    """A cookie of the site."""

    purpose: Purpose = Field(description="Why the site sets it.")
    harden: bool = Field(True, description="Make a necessary one stricter: Secure, HttpOnly, SameSite=Lax.")
    scripts: bool = Field(False, description="The site's own scripts must read it: then without HttpOnly.")


class Cookies(Model):
    """Cookies that the site sets."""

    unknown: Literal["block", "ask", "allow"] = Field(
        "block", description="A cookie that nothing declares: block; ask (as marketing); allow."
    )
    domain: Host | None = Field(
        None, description="Shares the choice among this domain's hosts; a host elsewhere has a choice of its own."
    )
    declare_: dict[CookieName, DeclaredCookie] = Field(
        default_factory=dict, alias="declare", description="The site's own cookies and their purposes."
    )


class LogIn(Model):
    """The site's log-in form."""

    path: SitePath = Field("/login", description="Where the form is sent.")
    field: Text = Field("keep_me_signed_in", description="The box in it that keeps the visitor signed in.")


class SignIn(Model):
    """What signing in means on this site."""

    cookies: tuple[CookieName, ...] = Field(
        (), description="The site's session cookies: they end with the browser, unless the box was ticked."
    )
    login: LogIn = Field(default_factory=LogIn.model_construct, description="The site's log-in form.")
    logout: SitePath = Field("/logout", description="The address that signs out.")
    keep_for: Annotated[Duration, Field(le=400 * 86400)] = Field(
        default=30 * DAY, description="How long a visitor who ticked the box stays signed in after the last visit."
    )


class Analytics(Model):
    """What is counted, and how small a number may be."""

    k: int = Field(5, ge=2, le=1000, description="No released number stands for fewer visitors than this.")
    live_every: Duration = Field(default=15 * 60, description="How often the open day's snapshot is made.")
    keep_for: Duration = Field(default=round(25 * MONTH), description="How long released numbers are kept.")
    pages: dict[SitePath, SitePath] = Field(default_factory=dict, description="Patterns that fold pages.")
    own: tuple[Network, ...] = Field((), description="Addresses that are not counted.")
    spam: tuple[Host, ...] = Field(
        (), description="More referring hosts, with all below them, whose visits are not counted."
    )
    spam_lists: tuple[ListFile, ...] = Field(
        (), max_length=8, description="Files in this folder with more such hosts, one a line."
    )


class Limits(Model):
    """Bounds and timeouts."""

    header_bytes: Size = Field(default=65536, description="Bytes of a request's header section; beyond it 431.")
    header_count: int = Field(100, gt=0, description="Header fields of a request; beyond it 431.")
    url_bytes: Size = Field(default=8192, description="Bytes of a request's target; beyond it 414.")
    body_bytes: Size = Field(default=10 << 30, description="Bytes of a request's body; beyond it 413.")
    message_bytes: Size = Field(default=16 << 20, description="Bytes of a WebSocket message.")
    header_timeout: Duration = Field(
        default=20, description="Time in which a request's header must be complete; then 408."
    )
    idle_timeout: Duration = Field(
        default=60, description="Silence in the midst of a body, of the client or the site; then 408, 504 or the end."
    )
    min_rate: int = Field(
        100,
        ge=0,
        description="Bytes a second. A client that sends or takes a body more slowly lives on what it was faster "
        "before, idle_timeout at most. 0: any byte will do.",
    )
    total_timeout: Duration = Field(
        default=6 * 3600, description="Time from a request's header to the end of its answer; not for WebSockets."
    )
    keep_alive: Duration = Field(default=75, description="How long an idle connection is kept.")
    requests: int = Field(100_000, gt=0, description="Requests on one connection; then it is closed.")
    pipeline: int = Field(64, gt=0, description="Requests that a client may send ahead of their answers; then 400.")
    connections: int = Field(
        4096, gt=0, description="Connections of a worker; beyond it 503. Fewer where it may open fewer files."
    )
    upstream_connections: int = Field(256, gt=0, description="Connections of a worker to the site.")
    queue_length: int = Field(
        1024, gt=0, description="Requests of a worker that wait for a connection to the site; beyond it 503."
    )
    queue_timeout: Duration = Field(default=5, description="Wait for a free connection to the site; then 503.")
    connect_timeout: Duration = Field(default=5, description="Time to connect to the site; then 504.")
    first_byte_timeout: Duration = Field(default=60, description="Time to the site's first byte; then 504.")
    upstream_header_bytes: Size = Field(
        default=65536, description="Bytes of an answer's header section; beyond it 502."
    )
    upstream_header_count: int = Field(256, gt=0, description="Header fields of an answer; beyond it 502.")
    drain_timeout: Duration = Field(default=30, description="Time that running requests have when stopping.")
    page_bytes: Size = Field(
        default=64 << 20, description="Decompressed bytes of a page; beyond it the answer is cut off."
    )
    spool: Size = Field(default=1 << 30, description="Bytes of what waits for the store.")


class Oidc(Model):
    """Signing in to the dashboard by OpenID Connect. The client's secret is VESTIBULE_OIDC_SECRET."""

    issuer: Issuer = Field(description="The provider's address, as its discovery document names it.")
    client_id: Text = Field(description="What the provider calls the dashboard.")
    url: FrameOrigin = Field(
        description="Where browsers reach the dashboard. The provider sends them back to URL/login/oidc/callback."
    )
    name: Text = Field("OpenID Connect", description="What the button calls it: Sign in with NAME.")
    claim: Text = Field("groups", description="The claim that decides the role; email counts only where verified.")
    viewers: tuple[Text, ...] = Field((), description="Values of the claim that make a viewer.")
    engineers: tuple[Text, ...] = Field((), description="Values of the claim that make an engineer.")
    officers: tuple[Text, ...] = Field((), description="Values of the claim that make an officer.")


class Dashboard(Model):
    """The admin app."""

    listen: Listen = Field("127.0.0.1:8081", description="Its own listener; never the public one.")
    hosts: tuple[Host, ...] = Field((), description="Names it is reached by, besides addresses and localhost.")
    networks: tuple[Network, ...] = Field((), description="Whose addresses it answers; none: all.")
    edit: bool = Field(False, description="Engineers may change states in trackers.yaml from the dashboard.")
    embed: tuple[FrameOrigin, ...] = Field((), description="Origins whose pages may frame shared links.")
    oidc: Oidc | None = Field(None, description="Signing in by OpenID Connect, besides names and passwords.")


class SitesOwn(Model):
    """What each site of an instance may have for itself: ``sites/NAME/site.yaml``."""

    site: Site = Field(description="The site behind Vestibule.")
    mode: Literal["enforce", "observe"] = Field(
        "enforce", description="observe: nothing is held back, everything that would be is counted."
    )
    policy: Policy = Field(default_factory=Policy.model_construct, description="The privacy policy.")
    consent: Consent = Field(default_factory=Consent.model_construct, description="Choices.")
    banner: Banner = Field(default_factory=Banner.model_construct, description="What visitors see of Vestibule.")
    cookies: Cookies = Field(default_factory=Cookies.model_construct, description="The site's cookies.")
    sign_in: SignIn = Field(default_factory=SignIn.model_construct, description="Signing in.")
    analytics: Analytics = Field(default_factory=Analytics.model_construct, description="Counting.")
    csp: Literal["enforce", "report", "off"] = Field("enforce", description="The policy that locks a page.")


class SiteFile(SitesOwn):
    """``site.yaml``."""

    listen: PublicListen = Field("127.0.0.1:8080", description="The public listener: HOST:PORT or unix:/path.")
    access_log: AccessLog = Field(
        "off", description="Where requests are logged, a JSON object a line: off, stdout, or an absolute path."
    )
    traces: Literal["none", "otlp"] = Field(
        "none", description="otlp: send OpenTelemetry traces where the OTEL_* variables say; needs the extra otel."
    )
    trusted_proxies: tuple[Peer, ...] = Field(
        ("127.0.0.1/32",), description="Whose Forwarded and X-Forwarded-* are believed; unix: for a Unix socket's."
    )
    geoip: Path | None = Field(None, description="Another country database (MaxMind layout).")
    limits: Limits = Field(default_factory=Limits.model_construct, description="Bounds and timeouts.")
    store: StoreUrl = Field(
        "chdb:///var/lib/vestibule", description="chdb:///PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE."
    )
    dashboard: Dashboard = Field(default_factory=Dashboard.model_construct, description="The admin app.")


class CustomService(Model):
    """A service that the catalogue does not know."""

    name: str = Field("", max_length=200, description="What visitors read; the id if left out.")
    hosts: tuple[Host, ...] = Field((), description="Its hosts, subdomains included.")
    paths: tuple[SitePath, ...] = Field((), description="Paths on them (* stands for anything); none: all.")
    purpose: Purpose = Field(description="Why it is used.")
    state: State = Field(State.ASK, description="allow, ask or block.")
    inline: tuple[Signature, ...] = Field((), description="Words by which an inline script of it is known.")
    cookies: tuple[CookieName, ...] = Field((), description="Cookies that it sets.")

    @field_validator("hosts")
    @classmethod
    def _some_host(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one host")
        return value


class TrackersFile(Model):
    """``trackers.yaml``: the file in which engineers toggle trackers."""

    unknown: State = Field(State.BLOCK, description="What nothing names: block, ask (as marketing), allow.")
    services: dict[ServiceId, State] = Field(default_factory=dict, description="Services of the catalogue.")
    custom: dict[ServiceId, CustomService] = Field(default_factory=dict, description="Services of your own.")
    cname: dict[Host, ServiceId] = Field(
        default_factory=dict, description="First-party names that are trackers in disguise."
    )
    lists: tuple[ListFile, ...] = Field(
        (), max_length=32, description="Files in Adblock syntax, in this folder: what they name is closed, too."
    )


class Config(SiteFile):
    """The whole configuration of a site: ``site.yaml``, with ``trackers.yaml`` as ``trackers``."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    trackers: TrackersFile = Field(default_factory=TrackersFile)
    filters: SkipValidation[tuple[Filter, ...]] = Field(
        (), exclude=True, description="What trackers.lists hold for this site, in their order."
    )
    spam: SkipValidation[frozenset[str]] = Field(
        frozenset(), exclude=True, description="The hosts in the files of analytics.spam_lists."
    )
    revision: str = Field("", exclude=True, description="Twelve hex digits that change with any setting.")
    where: dict[str, str] = Field(
        default_factory=dict,
        exclude=True,
        description="Where a setting of trackers.yaml was written: services.hotjar → trackers.yaml:7.",
    )
    profile: str = Field("", exclude=True, description="Name of the site's folder in sites/; empty for the first.")
    sites: SkipValidation[tuple["Config", ...]] = Field(
        (), exclude=True, description="The further sites of the instance, by name; they have none themselves."
    )

    @property
    def everyone(self) -> tuple["Config", ...]:
        """This site and the further ones."""
        return (self, *self.sites)

    @property
    def revisions(self) -> tuple[tuple[str, str], ...]:
        """What changes with any setting of any site: each one's folder and revision."""
        return tuple((each.profile, each.revision) for each in self.everyone)
