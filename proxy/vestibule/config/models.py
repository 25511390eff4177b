"""What can be set: the models of ``site.yaml`` and ``trackers.yaml``, the only truth of settings and defaults."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator

from vestibule.config.values import (
    DAY,
    MONTH,
    CookieName,
    Duration,
    Host,
    Listen,
    ListFile,
    Network,
    Origin,
    PolicyUrl,
    ServiceId,
    Signature,
    SitePath,
    Size,
    StoreUrl,
    Text,
    Zone,
)
from vestibule.core.consent import Purpose, State
from vestibule.core.filters import Filter


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(Model):
    """The site behind Vestibule."""

    name: Text = Field(description="The site's name: in the banner, in signatures' salts, in the statistics.")
    hosts: tuple[Host, ...] = Field(
        min_length=1, description="Host names answered for; any other Host gets 421. Ports don't matter."
    )
    first_party: tuple[Host, ...] = Field((), description="More hosts that are ours.")
    upstream: Origin = Field(description="Where requests go: http://…, https://… or unix:/path.")
    timezone: Zone = Field("UTC", description="Where days begin.")


class Notice(Model):
    """A material change that is announced before it takes effect."""

    effective: date = Field(description="The day on which the change takes effect.")
    announced: date | None = Field(None, description="The day from which it is shown; at least 30 days before.")
    text: dict[str, Text] = Field(min_length=1, description="What changes, by language.")


class Policy(Model):
    """The privacy policy that visitors agree under."""

    revision: Text = Field("1", description="A new value asks everyone again.")
    url: PolicyUrl = Field("/privacy", description="The policy's address.")
    contact: str = Field("", max_length=200, description="Whom to write to about privacy.")
    notice: Notice | None = Field(None, description="A change, announced 30 days ahead. Checked, not shown yet.")


class Consent(Model):
    """How long a choice is kept, and which signals are refusals."""

    keep_for: Annotated[Duration, Field(le=400 * 86400)] = Field(
        default=180 * DAY, description="Life of a choice; browsers keep no cookie longer than 400 days."
    )
    minimum_age: int = Field(16, ge=0, le=21, description="Age from which one may agree (GDPR art. 8).")
    honour: tuple[Literal["gpc", "dnt"], ...] = Field(("gpc", "dnt"), description="Signals that count as a refusal.")


class DeclaredCookie(Model):
    """A cookie of the site."""

    purpose: Purpose = Field(description="Why the site sets it.")


class Cookies(Model):
    """Cookies that the site sets."""

    unknown: Literal["block", "ask", "allow"] = Field(
        "block", description="A cookie that nothing declares: block; ask (as marketing); allow."
    )
    domain: Host | None = Field(None, description="Set to share the choice over subdomains.")
    declare_: dict[CookieName, DeclaredCookie] = Field(
        default_factory=dict, alias="declare", description="The site's own cookies and their purposes."
    )


class LogIn(Model):
    """The site's log-in form."""

    path: SitePath = Field("/login", description="Where the form is sent. Not in force yet.")
    field: Text = Field("keep_me_signed_in", description="The box that keeps the visitor signed in. Not in force yet.")


class SignIn(Model):
    """What signing in means on this site."""

    cookies: tuple[CookieName, ...] = Field((), description="The site's session cookies.")
    login: LogIn = Field(default_factory=LogIn, description="The site's log-in form.")
    logout: SitePath = Field("/logout", description="The address that signs out. Not in force yet.")
    keep_for: Annotated[Duration, Field(le=400 * 86400)] = Field(
        default=30 * DAY, description="How long a visitor who ticked the box stays signed in. Not in force yet."
    )


class Analytics(Model):
    """What is counted, and how small a number may be."""

    k: int = Field(5, ge=2, le=1000, description="No released number stands for fewer visitors than this.")
    live_every: Duration = Field(default=15 * 60, description="How often the open day's snapshot is made.")
    keep_for: Duration = Field(default=round(25 * MONTH), description="How long released numbers are kept.")
    pages: dict[SitePath, SitePath] = Field(default_factory=dict, description="Patterns that fold pages.")
    own: tuple[Network, ...] = Field((), description="Addresses that are not counted.")


class Limits(Model):
    """Bounds and timeouts."""

    header_bytes: Size = Field(default=65536, description="Bytes of a request's header section.")
    header_count: int = Field(100, gt=0, description="Header fields of a request.")
    url_bytes: Size = Field(default=8192, description="Bytes of a request's target.")
    body_bytes: Size = Field(default=10 << 30, description="Bytes of a request's body.")
    header_timeout: Duration = Field(default=20, description="Time in which a request's header must be complete.")
    keep_alive: Duration = Field(default=75, description="How long an idle connection is kept.")
    connections: int = Field(4096, gt=0, description="Connections of a worker; beyond it 503.")
    upstream_connections: int = Field(256, gt=0, description="Connections of a worker to the site.")
    queue_timeout: Duration = Field(default=5, description="Wait for a free connection to the site; then 503.")
    connect_timeout: Duration = Field(default=5, description="Time to connect to the site; then 502.")
    first_byte_timeout: Duration = Field(default=60, description="Time to the site's first byte; then 504.")
    idle_timeout: Duration = Field(default=60, description="Silence in the midst of a body.")
    drain_timeout: Duration = Field(default=30, description="Time that running requests have when stopping.")
    page_bytes: Size = Field(
        default=64 << 20, description="Decompressed bytes of a page; beyond it the answer is cut off."
    )
    spool: Size = Field(default=1 << 30, description="Bytes of what waits for the store.")


class Dashboard(Model):
    """The admin app."""

    listen: Listen = Field("127.0.0.1:8081", description="Its own listener; never the public one.")
    hosts: tuple[Host, ...] = Field((), description="Names it is reached by, besides addresses and localhost.")


class SiteFile(Model):
    """``site.yaml``."""

    site: Site = Field(description="The site behind Vestibule.")
    mode: Literal["enforce", "observe"] = Field(
        "enforce", description="observe: nothing is held back, everything that would be is counted."
    )
    listen: Listen = Field("127.0.0.1:8080", description="The public listener.")
    trusted_proxies: tuple[Network, ...] = Field(
        ("127.0.0.1/32",), description="Whose Forwarded and X-Forwarded-* are believed."
    )
    policy: Policy = Field(default_factory=Policy, description="The privacy policy.")
    consent: Consent = Field(default_factory=Consent, description="Choices.")
    cookies: Cookies = Field(default_factory=Cookies, description="The site's cookies.")
    sign_in: SignIn = Field(default_factory=SignIn, description="Signing in.")
    analytics: Analytics = Field(default_factory=Analytics, description="Counting.")
    geoip: Path | None = Field(None, description="Another country database (MaxMind layout).")
    csp: Literal["enforce", "report", "off"] = Field("enforce", description="The policy that locks a page.")
    limits: Limits = Field(default_factory=Limits, description="Bounds and timeouts.")
    store: StoreUrl = Field(
        "chdb:///var/lib/vestibule", description="chdb:///PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE."
    )
    dashboard: Dashboard = Field(default_factory=Dashboard, description="The admin app.")


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
    """The whole configuration: ``site.yaml``, with ``trackers.yaml`` as ``trackers``."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    trackers: TrackersFile = Field(default_factory=TrackersFile)
    filters: SkipValidation[tuple[Filter, ...]] = Field(
        (), exclude=True, description="What trackers.lists hold for this site, in their order."
    )
    revision: str = Field("", exclude=True, description="Twelve hex digits that change with any setting.")
    where: dict[str, str] = Field(
        default_factory=dict,
        exclude=True,
        description="Where a setting of trackers.yaml was written: services.hotjar → trackers.yaml:7.",
    )
