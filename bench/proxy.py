"""Our reverse proxy beside nginx and other Python proxies, by requests a second and by processor time.

    python -m bench.proxy [--seconds N] [--rounds N] [--only NAME,NAME] [json] [page] [fresh] [download]

Needs ``nginx``, ``wrk`` and two processor cores. Ours is ``vestibule serve`` as it is deployed, with one worker: cookie
rules, headers, policy, pages rewritten, facts to a recorder. Each proxy has the first core for itself; site, load and
our recorder share the second. Requests are a browser's: with its headers and cookies, one of which is refused. ``page``
is the same page for all, as most are; ``fresh`` is another one each time it is asked for.

Three ratios to nginx: by rate, as seen from outside; by processor time a request of what does the proxy's work, which
holds on a busy machine too and where the load is what limits nginx; and of the 99th percentiles. The first two are the
median of the rounds' own, in which both run right after each other; the figures themselves, and the third, are of the
best rounds. The other proxies pass pages and downloads on as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import _contestants as contestants
from bench._contestants import HOST, LOAD, Contestant

CONNECTIONS = 32

FEW = 4
"""Rounds in which the other proxies take part."""

_BROWSER = {
    "Host": HOST,
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "Cookie": "session=c2Vzc2lvbi1vZi1hLXZpc2l0b3I; _ga=GA1.2.1234567890.1700000000",
    "Sec-Fetch-Site": "same-origin",
}
_DOCUMENT = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Upgrade-Insecure-Requests": "1",
}
_FETCH = {
    "Accept": "application/json",
    "Referer": f"http://{HOST}/page.html",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for. aim: the least share of nginx's rate; 0 for none."""

    path: str
    body: bytes
    headers: dict[str, str]
    aim: float


def page() -> bytes:
    """50 KB as a site writes them: a head with tags, then text with links, images and a form."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Deals – Bench</title>'
        '<link rel="stylesheet" href="/static/site.css"><link rel="icon" href="/favicon.ico">'
        '<link rel="preconnect" href="https://fonts.gstatic.com">'
        '<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>'
        "<script>window.dataLayer=window.dataLayer||[];function gtag(){dataLayer.push(arguments)}"
        "gtag('js',new Date());gtag('config','G-1')</script>"
        '<script defer src="/static/app.js"></script></head><body class="deals"><header><nav><ul>'
    )
    item = (
        '<article class="deal" id="deal-{0}"><h2><a href="/deals/{0}">Deal number {0}</a></h2>'
        '<img src="/images/{0}.webp" alt="" width="320" height="180" loading="lazy">'
        '<p class="text">Some words about the deal, <em>quite</em> a few of them, so that there is text to read '
        "between the tags; pages are mostly text &amp; links, after all.</p>"
        '<ul class="tags"><li><a href="/tags/a">open</a></li><li><a href="/tags/b">won</a></li></ul></article>\n'
    )
    end = '</main><iframe src="https://www.youtube.com/embed/x"></iframe></body></html>\n'
    items: list[str] = []
    while sum(map(len, items)) < 50_000 - len(head) - len(end):
        items.append(item.format(len(items)))
    return (head + "</ul></nav></header><main>" + "".join(items) + end).encode()


CASES = {
    "json": Case("/json", b'{"items":[' + b'{"id":1,"name":"x"},' * 50 + b"{}]}", _BROWSER | _FETCH, 0.40),
    "page": Case("/page.html", page(), _BROWSER | _DOCUMENT, 0.20),
    "fresh": Case("/fresh.html", page(), _BROWSER | _DOCUMENT, 0.0),
    "download": Case("/download", b"x" * 5_000_000, _BROWSER | _FETCH, 0.80),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """rate: requests a second; cost: processor microseconds a request; slow: 99th percentile in milliseconds;
    wrong: answers that were none."""

    rate: float
    cost: float
    slow: float
    wrong: int = 0


def measure(contestant: Contestant, case: Case, seconds: int) -> Measured:
    before = contestants.busy(contestant.pids)
    fields = [part for name, value in case.headers.items() for part in ("-H", f"{name}: {value}")]
    load = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--timeout", "10", "--latency", *fields]
    url = f"http://127.0.0.1:{contestant.port}{case.path}"
    said = subprocess.run(["taskset", "-c", str(LOAD), *load, url], capture_output=True, text=True, check=True).stdout
    used = contestants.busy(contestant.pids) - before
    count = int(_found(r"(\d+) requests in", said)[0])
    amount, unit = _found(r"99%\s+([\d.]+)(us|ms|s|m)", said)
    wrong = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    for errors in re.findall(r"Socket errors: (.*)", said):
        wrong += sum(map(int, re.findall(r"\d+", errors)))
    slow = float(amount) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]
    return Measured(float(_found(r"Requests/sec:\s+([\d.]+)", said)[0]), used / max(count, 1) * 1e6, slow, wrong)


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said nothing like {pattern}: {text}")
    return match.groups()


def best(rounds: Sequence[Measured]) -> Measured:
    """Of each figure the best: whatever else runs on the machine makes them worse, never better."""
    return Measured(
        max(each.rate for each in rounds),
        min(each.cost for each in rounds),
        min(each.slow for each in rounds),
        sum(each.wrong for each in rounds),
    )


def beside(rounds: Sequence[Measured], reference: Sequence[Measured]) -> Measured:
    """Each figure as a share of the reference's. Rate and cost: the median of the rounds' own shares, since what both
    share is the machine of that moment, whose speed changes from one to the next. slow: of the best rounds, since
    whatever else runs makes tails longer, and never of both at once."""
    pairs = list(zip(rounds, reference, strict=False))
    return Measured(
        statistics.median(each.rate / other.rate for each, other in pairs),
        statistics.median(other.cost / each.cost for each, other in pairs),
        best(rounds).slow / best(reference).slow,
    )


def compete(running: Sequence[Contestant], cases: Iterable[str], seconds: int, most: int) -> None:
    """Measure every case of every contestant, in rounds, so that a disturbance meets all of them."""
    for name in cases:
        case = CASES[name]
        rounds: dict[str, list[Measured]] = {each.name: [] for each in running}
        for each in running:
            measure(each, case, 1)
        for number in range(most):
            for each in running:
                if number < FEW or each.name in ("nginx", "vestibule"):
                    rounds[each.name].append(measure(each, case, seconds))
        _print(name, case, rounds)


def _print(name: str, case: Case, rounds: dict[str, list[Measured]]) -> None:
    reference, peer = rounds.get("nginx"), rounds.get("asgiproxy")
    sys.stdout.write(
        f"\n{name:20}{'a second':>10}{'of nginx':>9}{'by cpu':>8}{'µs cpu':>9}{'p99 ms':>8}{'of nginx':>9}\n"
    )
    for who, measured in rounds.items():
        each = best(measured)
        line = f"  {who:18}{each.rate:10.0f}"
        if reference is None:
            line += f"{'':17}{each.cost:9.0f}{each.slow:8.1f}"
        else:
            share = beside(measured, reference)
            line += f"{share.rate:9.2f}{share.cost:8.2f}{each.cost:9.0f}{each.slow:8.1f}{share.slow:9.1f}"
        if who == "vestibule":
            line += f"   aim {case.aim:.2f}, p99 ≤ 3.0" if case.aim else ""
            if peer is not None:
                line += f"; {beside(measured, peer).rate:.1f} × asgiproxy"
        if each.wrong:
            line += f"   {each.wrong} wrong or missing answers"
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def running(folder: Path, only: Sequence[str]) -> Iterator[list[Contestant]]:
    """The site and the contestants, all at once; who is not measured only waits."""
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(contestants.site(folder))
        started = []
        if not only or "nginx" in only:
            started.append(stack.enter_context(contestants.nginx(folder, behind)))
        if not only or "vestibule" in only:
            started.append(stack.enter_context(contestants.vestibule(folder, behind)))
        wanted = [name for name in contestants.PEER_NAMES if not only or name in only]
        programs = contestants.peers() if wanted else None
        if wanted and programs is None:
            sys.stdout.write(f"left out, for they could not be installed: {', '.join(wanted)}\n")
        for name in wanted if programs else ():
            assert programs is not None
            try:
                started.append(stack.enter_context(contestants.peer(name, folder, programs, behind)))
            except RuntimeError as error:
                sys.stdout.write(f"left out, for it did not start: {name}: {str(error).strip().splitlines()[-1:]}\n")
        yield started


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="bench.proxy")
    parser.add_argument("--seconds", type=int, default=1, help="of a round")
    parser.add_argument("--rounds", type=int, default=12, help="of nginx and ours")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("cases", nargs="*", metavar="case")
    options = parser.parse_args(list(arguments))
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}")
    if not (shutil.which("nginx") and shutil.which("wrk") and (os.cpu_count() or 1) > 1):
        sys.stderr.write("left out: needs nginx, wrk and two processor cores\n")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        for case in CASES.values():
            (folder / "www" / case.path[1:]).write_bytes(case.body)
        with running(folder, [each for each in options.only.split(",") if each]) as started:
            idle = {each.name: contestants.memory(each.pids) for each in started}
            compete(started, options.cases or CASES, options.seconds, options.rounds)
            sys.stdout.write("\nresident MB, idle and after the load\n")
            for each in started:
                aim = "   aim ≤ 80 and ≤ 120" if each.name == "vestibule" else ""
                after = contestants.memory(each.pids)
                sys.stdout.write(f"  {each.name:18}{idle[each.name]:10.0f}{after:9.0f}{aim}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
