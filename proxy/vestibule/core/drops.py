"""The steps that may end a hit, in the order in which they are asked; each has one reason."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from vestibule.core import agents
from vestibule.core.contents import kind_of
from vestibule.core.hits import Drop
from vestibule.core.referrers import names_of
from vestibule.core.seen import Seen


def drop_uncounted(seen: Seen) -> Drop | None:
    """The site said ``Vestibule-Count: no``."""
    return None if seen.hit.count else Drop.UNCOUNTED


def drop_method(seen: Seen) -> Drop | None:
    """Only GET fetches a page; any method may fail."""
    hit = seen.hit
    return None if hit.method == "GET" or (hit.status >= 400 and hit.method != "HEAD") else Drop.METHOD


def drop_status(seen: Seen) -> Drop | None:
    """Redirects lead elsewhere, 204 and 205 show nothing, parts (206) belong to a file counted already."""
    status = seen.hit.status
    return None if 200 <= status < 204 or status == 304 or 400 <= status < 600 else Drop.STATUS


def drop_asset(seen: Seen) -> Drop | None:
    """Parts of a page are not counted, unless they fail."""
    seen.kind = kind_of(seen.hit)
    return None if seen.kind else Drop.ASSET


def drop_prefetch(seen: Seen) -> Drop | None:
    """Nobody has seen a page that was fetched ahead (Sec-Purpose, HTML Standard; its elders Purpose and X-Moz)."""
    return Drop.PREFETCH if seen.hit.purpose and "pre" in seen.hit.purpose.lower() else None


def drop_own(seen: Seen) -> Drop | None:
    """The site's own people."""
    own = seen.settings.own_networks
    if not own:
        return None
    try:
        address = ipaddress.ip_address(seen.hit.address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Drop.OWN if any(address in network for network in own) else None


_PROBES = re.compile(
    r"^(?:kube-probe|ELB-HealthChecker|GoogleHC|Consul Health Check|Amazon-Route53-Health-Check|HAProxy|Envoy/HC"
    r"|Varnish|Azure Traffic Manager|Edge Health Probe|Load Balancer Agent|HealthCheck|check_http|docker-healthcheck)",
    re.IGNORECASE,
)
_HEALTH_PATHS = frozenset(
    [
        "/health",
        "/healthz",
        "/healthcheck",
        "/health-check",
        "/livez",
        "/readyz",
        "/ready",
        "/live",
        "/alive",
        "/ping",
        "/status",
        "/up",
        "/_health",
        "/-/healthy",
        "/-/ready",
        "/actuator/health",
        "/.well-known/health",
        "/api/health",
        "/nginx_status",
        "/server-status",
    ]
)


def drop_health(seen: Seen) -> Drop | None:
    """Health checks: those who say so, and whatever is no browser and asks for a path that exists for them."""
    hit = seen.hit
    if hit.agent.startswith(("Mozilla/", "Opera/")):
        return None
    return Drop.HEALTH if _PROBES.match(hit.agent) or hit.path.rstrip("/").lower() in _HEALTH_PATHS else None


def drop_spam(seen: Seen) -> Drop | None:
    """Referrers that want to be looked up."""
    if not seen.hit.referrer:
        return None
    host, _ = seen.referrer
    if not host or seen.is_ours(host):
        return None
    spam = seen.settings.spam
    listed = bool(spam) and any(name in spam for name in names_of(host))
    return Drop.SPAM if listed or seen.trees.referrers.is_spam(host) else None


def drop_objection(seen: Seen) -> Drop | None:
    """Who objects is not counted, save as one more objection."""
    return Drop.OBJECTION if seen.hit.objects else None


def drop_bot(seen: Seen) -> Drop | None:
    """Programs: by what they say, by versions that cannot be, by headers that contradict each other."""
    return bot(seen)[0]


_NO_BOT = (None, "")


def bot(seen: Seen) -> tuple[Drop | None, str]:
    """Return why a hit is a program's and the name it is counted by; None and an empty text for a person's."""
    hit = seen.hit
    if hit.agent == agents.UNRECORDED:
        return None, ""
    agent = seen.agent
    if agent.bot:
        return Drop.BOT_AGENT, agent.bot
    if agents.is_impossible(agent, hit.time):
        return Drop.BOT_VERSION, "(impossible version)"
    found = agents.contradicts(
        hit.agent,
        agent.chromium,
        hit.accept,
        hit.fetch_dest,
        hit.fetch_mode,
        hit.fetch_site,
        hit.fetch_user,
        hit.ch_ua,
        hit.ch_platform,
    )
    return (Drop.BOT_HEADERS, f"(contradiction: {found})") if found else _NO_BOT


DROPS: tuple[Callable[[Seen], Drop | None], ...] = (
    drop_uncounted,
    drop_method,
    drop_status,
    drop_asset,
    drop_prefetch,
    drop_own,
    drop_health,
    drop_spam,
    drop_objection,
    drop_bot,
)
"""What may end an exchange with the site, the cheapest first; objections before anything is made of the visitor."""

AFTER_ASSET = DROPS[DROPS.index(drop_asset) + 1 :]
"""What may end a part of a page in which something was held back."""

_MAIL = re.compile(r"GoogleImageProxy|YahooMailProxy|Outlook|Thunderbird|Apple Mail|^Mozilla/5\.0$", re.IGNORECASE)


def drop_bot_unless_mail(seen: Seen) -> Drop | None:
    """Programs, but for those through which people's mailboxes fetch a pixel."""
    return None if seen.kind == "pixel" and _MAIL.search(seen.hit.agent) else drop_bot(seen)


EXPLICIT_DROPS: tuple[Callable[[Seen], Drop | None], ...] = (
    drop_uncounted,
    drop_own,
    drop_objection,
    drop_bot_unless_mail,
)
"""What may end an explicit fact."""
