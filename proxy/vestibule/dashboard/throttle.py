"""Slows guessing of passwords down.

Failures are counted by network and name together (strictly), by network, and by name (mildly, so that a stranger can't
lock a colleague out for long). The tables are bounded: at the bound the entry that failed longest ago is forgotten.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """free: failures without a wait. ceiling: the longest wait in seconds; it doubles from one second up to that."""

    free: int
    ceiling: int


class Throttle:
    """One table of failures."""

    def __init__(self, pace: Pace, capacity: int = 4096) -> None:
        self._pace = pace
        self._capacity = capacity
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Return the seconds until the next try; 0 where it may be now."""
        count, last = self._failures.get(key, (0, 0.0))
        over = count - self._pace.free
        if over < 0:
            return 0.0
        return max(0.0, last + min(2.0 ** min(over, 30), self._pace.ceiling) - now)

    def fail(self, key: str, now: float) -> None:
        count, last = self._failures.pop(key, (0, 0.0))
        if now - last > 24 * 3600:
            count = 0
        self._failures[key] = (count + 1, now)
        while len(self._failures) > self._capacity:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._failures)


class SignInThrottle:
    """The three tables that a sign-in is held to."""

    def __init__(self) -> None:
        self._pair = Throttle(Pace(free=5, ceiling=900))
        self._network = Throttle(Pace(free=20, ceiling=900))
        self._name = Throttle(Pace(free=50, ceiling=30))

    def begin(self, address: str, name: str, now: float) -> float:
        """Return the seconds to wait; at 0 the try is counted as failed already, until ``succeed`` says otherwise, so
        that many at once gain nothing."""
        tables = self._tables(address, name)
        wait = max(table.wait(key, now) for table, key in tables)
        if wait > 0:
            return wait
        for table, key in tables:
            table.fail(key, now)
        return 0.0

    def succeed(self, address: str, name: str) -> None:
        for table, key in self._tables(address, name):
            table.forget(key)

    def _tables(self, address: str, name: str) -> tuple[tuple[Throttle, str], ...]:
        network = network_of(address)
        return (self._pair, f"{network} {name}"), (self._network, network), (self._name, name)


def network_of(address: str) -> str:
    """Return what one guesser is taken to own: an IPv4 address, an IPv6 /64; anything else is one network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
