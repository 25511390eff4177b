"""Every block in the documentation that somebody may paste: commands are ones that there are, configurations are valid,
programs run; and the pages build."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from demo.site import create_app
from tests.servers import ROOT, serve_asgi
from vestibule.cli.app import app
from vestibule.config import load
from vestibule.config.models import SiteFile, TrackersFile

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LANGUAGES = {"", "sh", "yaml", "json", "python", "js", "sql", "nginx", "php", "mermaid", "html", "http", "ini", "toml"}
SITE: dict[str, Any] = {
    "site": {"name": "example.com", "hosts": ["example.com", "www.example.com"], "upstream": "http://127.0.0.1:3000"},
}


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in fence.finditer(text):
            lines = [line.removeprefix(found.group(1)) for line in found.group(3).splitlines()]
            yield Block(page, text.count("\n", 0, found.start()) + 1, found.group(2), "\n".join(lines))


BLOCKS = list(blocks())


def of(language: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language == language]


def test_blocks_are_of_languages_that_are_looked_at() -> None:
    assert len(BLOCKS) > 30
    assert {block.language for block in BLOCKS} <= LANGUAGES


# -- commands ----------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
        while words:
            ends = [index for index, word in enumerate(words) if word in (">", "|", "&&")]
            yield words[: ends[0]] if ends else words
            words = words[ends[0] + 1 :] if ends and words[ends[0]] == "&&" else []


def understood(words: list[str]) -> None:
    """Raise where ``vestibule`` would not understand its arguments. Nothing is run."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("vestibule", words, resilient_parsing=False)
    while hasattr(command, "resolve_command") and (rest := [*context._protected_args, *context.args]):
        name, command, left = command.resolve_command(context, rest)
        context = command.make_context(name, left, parent=context)


@pytest.mark.parametrize("block", of("sh"))
def test_commands_are_ones_that_there_are(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(block.text):
        if words[0] == "vestibule":
            understood(words[1:])
        elif words[0] == "make":
            assert set(words[1:]) <= targets, words
        elif words[0].startswith("deploy/"):
            assert (ROOT / words[0]).is_file()
        elif words[0] == "pip":
            check_extras(words)


@pytest.mark.parametrize(
    "line", ["nonsense", "scan --nonsense", "trackers set hotjar", "stats breakdown --by", "check x"]
)
def test_a_command_that_there_is_not_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|requires|unexpected"):
        understood(line.split())


SERVERS = {"serve", "recorder"}
"""Commands that run until they are ended; `test_stranger.py` and `test_serve.py` run them."""
ELSEWHERE = {"verify-receipt"}
"""Asks a site for its keys: `test_receipts.py` runs it."""


def runnable(page: Path) -> list[list[str]]:
    """A page's commands in order, as they stand."""
    found = (commands(block.text) for block in BLOCKS if block.page == page and block.language == "sh")
    return [
        words[1:] for each in found for words in each if words[0] == "vestibule" and words[1] not in SERVERS | ELSEWHERE
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_commands_run_in_their_order(page: Path, tmp_path: Path) -> None:
    """Each page's from an empty folder, or, where it does not begin with `init`, from the demo's configuration; the
    site that they name is the demo."""
    pytest.importorskip("chdb", reason='the extra "embedded" is not installed')
    asked = runnable(page)
    if asked[0][0] != "init":
        shutil.copytree(ROOT / "demo" / "config", tmp_path / "config")
    with serve_asgi(create_app()) as site, gzip.open(tmp_path / "access.log.gz", "wt") as log:
        log.write('192.0.2.1 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n')
        log.close()
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VESTIBULE_")},
            "PYTHONPATH": str(ROOT / "proxy"),
            "VESTIBULE_SECRET": "a secret that is long enough",
            "VESTIBULE_STORE": f"chdb://{tmp_path}/store",
            "NO_COLOR": "1",
        }
        for words in asked:
            if words[0] == "init" and (tmp_path / "config").exists() and "--site" not in words:
                shutil.rmtree(tmp_path / "config")
            done = subprocess.run(
                [sys.executable, "-m", "vestibule", *as_here(words, site)],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            # A scan ends with 1 where something is unknown, as there is in the demo.
            assert done.returncode == 0 or (words[0] == "scan" and done.stdout), (words, done.stdout, done.stderr)


def as_here(words: list[str], site: str) -> list[str]:
    """A command as it can be run here: its site is the demo, and there may be no browser."""
    if words[0] in ("init", "scan"):
        words = [site if re.match("https?://|URL$", word) else word for word in words if word != "--browser"]
        return [*words, site] if words[0] == "scan" and site not in words else words
    return ["https://static.hotjar.com/c/hotjar-1.js" if word == "URL" else word for word in words]


def check_extras(words: list[str]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"vestibule\[(\w+)\]", " ".join(words)):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_commands_in_the_text_are_ones_that_there_are() -> None:
    known = {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
    for page in PAGES:
        for name in re.findall(r"`vestibule ([a-z][a-z-]*)", page.read_text(encoding="utf-8")):
            assert name in known, f"{page.name}: vestibule {name}"


# -- configurations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("yaml"))
def test_configurations_are_valid(block: Block, tmp_path: Path) -> None:
    given = YAML(typ="safe").load(block.text)
    site = SITE | {key: value for key, value in given.items() if key in SiteFile.model_fields}
    trackers = {key: value for key, value in given.items() if key in TrackersFile.model_fields}
    assert set(given) == (set(given) & set(site)) | set(trackers), "a setting that there is not"
    lists = dict.fromkeys(trackers.get("lists", []), "||tracker.example^\n")
    lists |= dict.fromkeys(site.get("analytics", {}).get("spam_lists", []), "spam.example\n")
    for listed, line in lists.items():
        (tmp_path / listed).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / listed).write_text(line, encoding="utf-8")
    for name, content in (("site.yaml", site), ("trackers.yaml", trackers)):
        with (tmp_path / name).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(content, file)
    load(tmp_path, {"VESTIBULE_OIDC_SECRET": "a secret"})


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("python"))
def test_programs_compile(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("name", ["Django", "FastAPI"])
def test_recipes_for_frameworks_answer_with_a_banner(name: str, tmp_path: Path) -> None:
    """Run as they stand, in a process of their own: the recipes end in an ASGI app."""
    section = (
        (ROOT / "docs" / "howto.md").read_text(encoding="utf-8").partition(f"## {name}\n")[2].partition("\n## ")[0]
    )
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "site.yaml").write_text(json.dumps({**SITE, "store": "chdb://store"}), encoding="utf-8")
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    (tmp_path / "mysite" / "settings.py").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "mysite" / "urls.py").write_text(URLS, encoding="utf-8")
    (tmp_path / "run.py").write_text(program + RUN[name], encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": "a secret that is long enough"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert 'id="vestibule"' in done.stdout, done.stdout + done.stderr
    assert "Hello from the framework" in done.stdout


SETTINGS = "SECRET_KEY = 'x' * 50\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'mysite.urls'\nUSE_TZ = True\n"
URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("<!doctype html><title>x</title><p>Hello from the framework"))]
"""
ASK = """
import asyncio, httpx
async def ask(app):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://example.com") as client:
        print((await client.get("/", headers={"Accept": "text/html", "Sec-Fetch-Dest": "document"})).text)
"""
RUN = {
    "Django": ASK + "asyncio.run(ask(application))\n",
    "FastAPI": ASK
    + """
from fastapi.responses import HTMLResponse
@app.get("/", response_class=HTMLResponse)
def home():
    return "<!doctype html><title>x</title><p>Hello from the framework"
asyncio.run(ask(app))
""",
}


# -- the site ----------------------------------------------------------------------------------------------------------


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_pages_build_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    if shutil.which("mkdocs", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("MkDocs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(script|img|iframe)[^>]+src="(https?:)?//', text), page.name
        assert not re.search(r'<link[^>]+rel="(stylesheet|preconnect)"[^>]+href="(https?:)?//', text), page.name
        assert "mermaid.min.js" not in text
