"""The site's privacy policy: every clause has its proof, and those that no other test proves have it here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.sites import SITE_YAML, Front, configured, front

PAGE = ROOT / "docs" / "policy.md"
SOURCE = ROOT / "proxy" / "vestibule"
TRUSTING = SITE_YAML + "trusted_proxies: [127.0.0.1/32]\n"
PLACES = {"Germany": "5.1.66.1", "United States": "8.8.8.8", "Brazil": "200.160.2.3", "nowhere": "10.1.2.3"}


def sections() -> dict[str, str]:
    _, *found = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {section.partition("\n")[0]: section for section in found}


@pytest.mark.parametrize("clause", [title for title in sections() if title != "What no program can promise"])
def test_every_clause_has_words_and_a_proof_that_is_there(clause: str) -> None:
    section = sections()[clause]
    assert re.search(r"^> \w", section, re.MULTILINE)
    proofs = re.findall(r"^- `([\w/]+\.py)::(test_\w+)`$", section, re.MULTILINE)
    assert proofs
    for file, name in proofs:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_promise_is_a_clause() -> None:
    words = " ".join(PAGE.read_text(encoding="utf-8").replace("\n> ", " ").split())
    for promise in (
        "goes when you close the browser",
        "tied to your e-mail address, and held in your own browser only",
        "off until you agree",
        "take an agreement back at any time",
        "Wherever you are, you are asked the same and have the same rights",
        "at least thirty days before it takes effect",
        "sell nothing, and share nothing but aggregates",
    ):
        assert promise in words, promise


def test_no_answer_depends_on_where_a_visitor_is(tmp_path: Path) -> None:
    with front("proxy", configured(tmp_path, TRUSTING), tmp_path) as site:
        seen = {place: told(site, address) for place, address in PLACES.items()}
        assert 'id="vestibule"' in seen["Germany"][0]
        assert len(set(seen.values())) == 1


def told(site: Front, address: str) -> tuple[str, str | None, str]:
    """What somebody of that address is answered: a page, its policy, and the privacy centre."""
    said = ("X-Forwarded-For", address)
    page = site.ask("/page", said, ("Accept", "text/html"))
    return steady(page.text), page.get("content-security-policy"), steady(site.ask("/_privacy/", said).text)


def steady(text: str) -> str:
    return re.sub(r"nonce-[\w+/=-]+", "", text)


def test_what_answers_visitors_cannot_look_countries_up() -> None:
    for folder in ("middleware", "privacy", "worker", "upstream", "protocol"):
        for file in sorted((SOURCE / folder).glob("*.py")):
            assert not {"geoip2", "maxminddb"} & imported(file), file
            assert "country_database" not in file.read_text(encoding="utf-8"), file


def test_a_new_revision_asks_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with front("proxy", configured(tmp_path / "old"), tmp_path) as site:
        choice = site.choice("reject")
        assert asked(site)
        assert not asked(site, choice)
    newer = SITE_YAML.replace('revision: "1"', 'revision: "2"')
    with front("proxy", configured(tmp_path / "new", newer), tmp_path) as site:
        assert asked(site, choice)
        assert not asked(site, site.choice("reject"))


def asked(site: Front, *headers: tuple[str, str]) -> str:
    """The banner, if there is one."""
    text = site.ask("/page", ("Accept", "text/html"), *headers).text
    found = re.search(r'<div id="vestibule" .*?</form>', text, re.DOTALL)
    return found.group() if found else ""


OUTGOING = {"http", "urllib", "httpx", "requests", "socket", "authlib", "clickhouse_connect", "aiohttp", "websockets"}
TALKING = {
    "store": "the store",
    "upstream": "the site behind",
    "scan": "the site that is scanned, at a command's wish",
    "cli": "what a command is told to ask",
    "dashboard/oidc.py": "the dashboard's sign-in provider",
    "link": "the recorder, by a Unix socket",
    "serve": "listeners",
    "process.py": "listeners",
    "counting": "listeners",
    "worker": "listeners",
    "protocol": "listeners",
}


def test_only_these_parts_open_connections() -> None:
    talking = set()
    for file in sorted(SOURCE.rglob("*.py")):
        if {name for name in imported(file) if name.partition(".")[0] in OUTGOING and name not in HARMLESS}:
            talking.add(file.relative_to(SOURCE).as_posix())
    unexpected = {name for name in talking if not any(name == part or name.startswith(f"{part}/") for part in TALKING)}
    assert unexpected == set()


HARMLESS = {"urllib.parse", "http", "http.cookies"}
"""Modules of these names that only read texts."""


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found
