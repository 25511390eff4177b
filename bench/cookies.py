"""What the cookie policy costs a request, and what a keep cookie does."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.sites import configured
from vestibule.core.cookies import SetCookie, harden, parse_cookie, temporary
from vestibule.core.revocations import Alone
from vestibule.core.sign_in import MAX_PREFERENCES, Keep, Keeper
from vestibule.middleware.request import sifted
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.sign_in import recognise
from vestibule.privacy.visitor import read

ROUNDS = 15
CALLS = 500
SITE = """\
site: {name: relaso.com, hosts: [relaso.com], upstream: "http://127.0.0.1:3000"}
cookies: {declare: {theme: {purpose: preferences}, "ab_*": {purpose: statistics}}}
sign_in: {cookies: [session]}
store: chdb:///nowhere
"""
COOKIES = (
    "session=0123456789abcdef0123456789abcdef; theme=dark; _ga=GA1.1.123456789.1763800000; _gid=GA1.1.1.1; "
    "ab_home=b; _fbp=fb.1.1763800000000.123456789; csrftoken=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; "
    "intercom-id-abc=11111111-2222-3333-4444-555555555555; nobody=1; hubspotutk=0123456789abcdef"
)


def microseconds(functions: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """The processor's time that a call of each takes, in several rounds, ascending. In every round all of them take
    their turn, so that others who are at work beside it disturb all alike."""
    rounds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            begun = time.process_time()
            for _ in range(CALLS):
                function()
            rounds[name].append((time.process_time() - begun) / CALLS * 1e6)
    return {name: sorted(each) for name, each in rounds.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        policy = SitePolicy(configured(Path(folder), SITE), ["a secret for benches"])
    now = int(time.time())
    decide = policy.cookies.decide
    line = COOKIES.encode()
    plain = read(policy, "http", "relaso.com", ((b"host", b"relaso.com"),), now)

    def request() -> tuple[bytes, tuple[str, ...]]:
        """As the middleware does it, from the bytes that came to those for the site."""
        return sifted(policy, parse_cookie(line.decode("latin-1")), plain.effective)

    def answer() -> str:
        cookie = SetCookie.parse("session=0123456789abcdef; Path=/; Expires=Wed, 09 Jun 2027 10:18:14 GMT; HttpOnly")
        assert cookie is not None
        return str(temporary(harden(cookie, secure=True, http_only=decide(cookie.name).http_only)))

    keeper = Keeper(["a secret for benches"], "relaso.com")
    choice, preferences = "c" * 400, '{"sort": "value", "density": "compact"}'
    keep = Keep("abcdefghijklmnop", now * 1000, now, now + 10**6, "ines@relaso.com", choice, "de", preferences)
    token = keeper.seal(keep, bytes(12))
    longest = keeper.seal(
        replace(keep, preferences=preferences + " " * (MAX_PREFERENCES - len(preferences))), bytes(12)
    )
    headers = ((b"host", b"relaso.com"), (b"cookie", f"keep={token}; {COOKIES}".encode()))
    visitor = read(policy, "http", "relaso.com", headers, now)
    revoked = Alone()
    functions: dict[str, Callable[[], object]] = {
        "policy of 10 cookies of a request": request,
        "a session cookie of an answer": answer,
        f"opening a keep cookie of {len(token)} characters": lambda: keeper.open(token),
        f"opening the longest, of {len(longest)}": lambda: keeper.open(longest),
        "recognising its owner, again": lambda: recognise(policy, revoked, visitor, now * 1000),
        "sealing one": lambda: keeper.seal(keep, bytes(12)),
        "refusing a forged one": lambda: keeper.open(token[:-8] + "AAAAAAAA"),
    }
    for name, rounds in microseconds(functions).items():
        sys.stdout.write(f"{name:>46}: {rounds[0]:6.1f} µs at best, {median(rounds):6.1f} µs in the median\n")


if __name__ == "__main__":
    main()
