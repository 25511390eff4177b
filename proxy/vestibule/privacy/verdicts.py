"""What the rules say of an address, seen from a visitor's page."""

from __future__ import annotations

from vestibule.core.services import Verdict
from vestibule.core.urls import Target, resolve
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import Visitor

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def verdict_of(policy: SitePolicy, visitor: Visitor, url: str, kind: str) -> Verdict | None:
    """The verdict on an absolute address; None where it is none of the web's, or cannot be read."""
    target = resolve(url, url)
    if target is None or not target.host:
        return None
    query = url.partition("#")[0].partition("?")[2]
    path = f"{target.path}?{query}" if query else target.path
    return policy.rules.decide(host_of(policy, visitor, target), path, kind)


def host_of(policy: SitePolicy, visitor: Visitor, target: Target) -> str:
    """The host as rules know it: with a port only where that is neither usual nor the page's own."""
    own = visitor.authority.rpartition("]")[2].rpartition(":")[2]
    port = int(own) if own.isdigit() and ":" in visitor.authority else _PORTS[visitor.scheme]
    if target.host.strip("[]") == visitor.host and target.port in (None, port):
        return policy.config.site.hosts[0] if visitor.host in policy.local else target.host
    return target.host if target.port in (None, _PORTS.get(target.scheme), port) else f"{target.host}:{target.port}"
