"""Referring hosts become sources; those that are spam are told from those that aren't."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from vestibule.config import load
from vestibule.core.referrers import GROUPS, Referrers, split
from vestibule.core.trees import LEVELS, Trees
from vestibule.core.visit import Drop, Hit, Settings, facts
from vestibule.counting.composing import plan_of
from vestibule.recorder.lookups import Tables, load_referrers

CORPUS = Path(os.environ.get("VESTIBULE_CORPUS", Path(__file__).parents[1] / "../shared/corpus"))
needs_corpus = pytest.mark.skipif(not (CORPUS / "referrers").is_dir(), reason=f"no corpus at {CORPUS}")


@pytest.fixture(scope="module")
def table() -> Referrers:
    return load_referrers()


@pytest.mark.parametrize(
    ("referrer", "host", "path"),
    [
        ("https://news.ycombinator.com/item?id=1", "news.ycombinator.com", "/item"),
        ("https://www.Google.com/", "google.com", "/"),
        ("http://example.com:8080/a#b", "example.com", "/a"),
        ("https://jane:secret@example.com/a", "example.com", "/a"),
        ("https://example.com./a", "example.com", "/a"),
        ("https://www.fr/", "www.fr", "/"),
        ("https://bücher.example/", "bücher.example", "/"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", "/"),
        ("android-app://com.google.android.gm/", "com.google.android.gm", "/"),
        ("https://intranet/wiki", "", ""),
        ("https://192.168.1.10/", "", ""),
        ("https://[2001:db8::1]/", "", ""),
        ("https://localhost:3000/", "", ""),
        ("about:blank", "", ""),
        ("javascript:alert(1)", "", ""),
        ("-", "", ""),
        ("", "", ""),
        ("https://" + "a" * 64 + ".example/", "", ""),
        ("https://exa mple.com/", "", ""),
        ("https://example.com\\@evil.example/", "example.com", "\\@evil.example/"),
    ],
)
def test_split(referrer: str, host: str, path: str) -> None:
    assert split(referrer) == (host, path)


@given(st.text(max_size=300))
def test_splitting_never_raises_and_gives_hosts_only(text: str) -> None:
    for referrer in (text, "https://" + text):
        host, _ = split(referrer)
        assert not re.search(r"[\s/:*@]", host)


@pytest.mark.parametrize(
    ("value", "above"),
    [
        ("news.ycombinator.com/item", ("news.ycombinator.com", "social: Hacker News", "social")),
        ("news.ycombinator.com", ("social: Hacker News", "social")),
        ("social: Hacker News", ("social",)),
        ("social", ()),
        ("direct", ()),
        ("internal", ()),
        ("google.co.uk", ("search: Google", "search")),
        ("google.com.br", ("search: Google", "search")),
        ("maps.google.de", ("search: Google", "search")),
        ("mail.google.com", ("mail: Gmail", "mail")),
        ("gemini.google.com", ("ai: Gemini", "ai")),
        ("bing.com", ("search: Bing", "search")),
        ("l.facebook.com/l.php", ("l.facebook.com", "social: Facebook", "social")),
        ("out.reddit.com", ("social: Reddit", "social")),
        ("mastodon.example.org", ("social",)),
        ("webmail.example.org/inbox", ("webmail.example.org", "mail")),
        ("search.example.org", ("search",)),
        ("example.com/blog: our tools", ("example.com", "link")),
        ("google.evil.com", ("link",)),
        ("notgoogle.com", ("link",)),
        ("example.com", ("link",)),
        ("ads: Google Ads", ("ads",)),
        ("campaign: spring: sale", ("campaign",)),
    ],
)
def test_the_tree_of_sources(table: Referrers, value: str, above: tuple[str, ...]) -> None:
    assert table.parents(value) == above
    for level, parent in enumerate(above):
        assert table.parents(parent) == above[level + 1 :]


@pytest.mark.parametrize(
    ("dimension", "leaf", "told"),
    [
        (
            "referrer",
            "news.ycombinator.com/item",
            {"group": "social", "source": "social: Hacker News", "page": "news.ycombinator.com/item"},
        ),
        ("referrer", "example.com/blog", {"group": "link", "source": "example.com"}),
        ("browser", "Chrome 131", {"name": "Chrome", "version": "Chrome 131"}),
        ("os", "Windows 11", {"name": "Windows", "version": "Windows 11"}),
        ("country", "DE", {"continent": "Europe", "country": "DE"}),
        ("language", "de-AT", {"language": "de", "region": "de-AT"}),
        ("status", "404", {"class": "4xx", "status": "404"}),
    ],
)
def test_levels_are_called_what_stands_there(table: Referrers, dimension: str, leaf: str, told: dict[str, str]) -> None:
    line = Trees(table).line(dimension, leaf)[::-1]
    assert {name: line[LEVELS[dimension][name]] for name in told} == told


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Facebook", "social: Facebook"),
        ("fb", "social: Facebook"),
        ("twitter", "social: X"),
        ("google", "search: Google"),
        ("chatgpt.com", "ai: ChatGPT"),
        ("t.co", "social: X"),
        ("newsletter", "mail"),
        ("Partner Fair", "campaign: partner fair"),
        ("jane@example.com", "campaign: :email"),
        ("", "campaign"),
    ],
)
def test_what_campaigns_call_a_source(table: Referrers, name: str, source: str) -> None:
    assert table.named(name) == source


def test_every_source_is_of_a_known_group_and_reachable(table: Referrers) -> None:
    for source in (*table.clicks.values(), *(table.named(name) for name in ("fb", "adwords", "gmail"))):
        assert source.partition(": ")[0] in GROUPS


@pytest.mark.parametrize(
    "host",
    [
        "semalt.com",
        "100.semalt.com",
        "buttons-for-website.com",
        "free-share-buttons.com",
        "get-free-traffic-now.com",
        "best-seo-offer.com",
        "1xbet-entry.ru",
        "vulkan-nadengi.ru",
        "porn-videos.example",
        "kabinet-nalog.ru",
    ],
)
def test_spam(table: Referrers, host: str) -> None:
    assert table.is_spam(host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "google.com",
        "semantics.example",
        "seobility.net",
        "museo-prado.es",
        "magazin.example",
        "lifehacker.com",
        "sussex.ac.uk",
        "theonion.com",
        "vulkan-tutorial.com",
        "hydra.cc",
        "specialist.example",
        "sexual-health.example",
        "road-traffic-technology.com",
        "growth-hacking.example",
        "kredit.example",
        "intimissimi.com",
        "pillsbury.com",
        "essex.gov.uk",
        "middlesexcounty.example",
        "casa-nova.example",
        "traffic.example.de",
        "bitcoinhackers.org",
        "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion",
        "",
    ],
)
def test_no_spam(table: Referrers, host: str) -> None:
    assert not table.is_spam(host)


# -- the corpus ------------------------------------------------------------------------------------------------------


def read(name: str) -> Any:
    return YAML(typ="safe").load((CORPUS / "referrers" / f"{name}.yml").read_text(encoding="utf-8"))


def known_hosts() -> Iterator[tuple[str, str, str]]:
    """Yield group, name and host of all that the corpus names; a placeholder becomes three endings."""
    for name, entries in read("SearchEngines").items():
        for entry in entries:
            yield from (("search", name, host) for host in _spelled_out(entry["urls"]))
    for group, file in (("social", "Socials"), ("ai", "AIAssistants")):
        for name, hosts in read(file).items():
            yield from ((group, name, host) for host in _spelled_out(hosts))


def _spelled_out(hosts: list[str]) -> Iterator[str]:
    for host in hosts:
        for ending in ("com", "de", "co.uk") if not host.startswith("{}") and "{}" in host else ("de",):
            url = host.replace("{}", ending).replace("android-app//", "android-app://")
            yield split(url if "://" in url else f"https://{url}/")[0]


@needs_corpus
def test_hosts_of_the_corpus_get_their_group(table: Referrers) -> None:
    """Assistants that search, and search engines of social networks, may be in either group."""
    cases = list(known_hosts())
    right = [
        (group, host)
        for group, _, host in cases
        if (found := table.source(host).partition(": ")[0]) == group or {found, group} <= {"search", "ai", "social"}
    ]
    assert len(right) / len(cases) >= 0.98
    named = [host for _, _, host in cases if ": " in table.source(host)]
    assert len(named) / len(cases) >= 0.70


@needs_corpus
def test_a_list_that_an_operator_adds_is_dropped_whole() -> None:
    text = (CORPUS / "referrers/spammers.txt").read_text(encoding="utf-8")
    settings, lookups = Settings(spam=frozenset(host.lower().removeprefix("www.") for host in text.split())), Tables()
    for host in text.split():
        assert facts(Hit("relaso.com", 0.0, referrer=f"http://sub.{host}/"), settings, lookups)[1] is Drop.SPAM
    lookups.close()


@needs_corpus
def test_spam_of_the_corpus_is_dropped_and_nothing_else(table: Referrers) -> None:
    """Families of spam and hosts known for it are told; the rest needs a list (``Settings.spam``). Nothing else is."""
    spam = [split(f"https://{line}/")[0] for line in (CORPUS / "referrers/spammers.txt").read_text().split()]
    assert sum(map(table.is_spam, spam)) / len(spam) >= 0.33
    assert [host for _, _, host in known_hosts() if table.is_spam(host)] == []
    linked = {
        split(url)[0]
        for page in (CORPUS / "pages").glob("*.html")
        for url in set(re.findall(r"https?://[\w.-]+\.[a-z]{2,}", page.read_text(encoding="utf-8", errors="replace")))
    }
    assert len(linked) > 2000
    assert sum(map(table.is_spam, linked)) <= 2


@pytest.mark.parametrize(
    ("referrer", "ours"),
    [
        ("https://blog.relaso.co.uk/post", True),
        ("https://RELASO.co.uk:8443/", True),
        ("https://shop.friends.example/", True),
        ("https://friends.example/", False),
        ("https://notrelaso.co.uk/", False),
        ("https://another.co.uk/", False),
        ("https://co.uk.example/", False),
        ("https://elsewhere.example/", False),
    ],
)
def test_hosts_under_the_site_s_domains_are_its_own(referrer: str, *, ours: bool, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "site: {name: S, hosts: [www.relaso.co.uk], first_party: [shop.friends.example], upstream: 'http://127.0.0.1:9'}\n"
        "store: chdb:///nowhere\n"
    )
    settings, lookups = plan_of(load(tmp_path, {}), "key").settings, Tables()
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    (found, *_), _ = facts(Hit("S", 0.0, path="/", agent=browser, referrer=referrer, status=200), settings, lookups)
    assert (found.values["referrer"][-1] == "internal") is ours
    lookups.close()
