"""Configurations made from the settings' JSON Schema: broken ones are refused at the file and the line that are wrong
and change nothing that runs; sound ones start whole."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.servers import ROOT, serve_asgi, wait_until
from tests.services import service
from vestibule.config import Config, load
from vestibule.core.errors import ConfigError
from vestibule.counting.composing import plan_of
from vestibule.live import Follower, Live
from vestibule.middleware import ConsentMiddleware
from vestibule.worker.limits import server_limits, upstream_limits

SECRETS = ["a secret that is long enough for tests"]
FILES = ("site.yaml", "trackers.yaml")
Schema = Mapping[str, Any]
Path_ = tuple[str, ...]
Tree = dict[str, Any]
"""Settings as they are written: sections are dicts, values are YAML on one line."""


def base(file: str) -> Tree:
    if file == "trackers.yaml":
        return {"unknown": "block"}
    return {
        "site": {"name": "example.test", "hosts": "[example.test]", "upstream": "http://127.0.0.1:1"},
        "mode": "enforce",
        "store": "chdb:///nowhere",
    }


def schema_of(file: str) -> Schema:
    found: Schema = json.loads((ROOT / "config" / "schema" / file.replace(".yaml", ".json")).read_text("utf-8"))
    return found


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema without references; of one that may be null the rest."""
    if "$ref" in schema:
        return resolved(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return resolved(kinds[0], root) if len(kinds) == 1 else schema


def key_of(schema: Schema) -> str:
    """A key that such a table may have."""
    names = schema.get("propertyNames", {})
    choices = [*names.get("anyOf", ()), names]
    return next((each["enum"][0] for each in choices if "enum" in each), "own")


def walk(schema: Schema, root: Schema, path: Path_ = ()) -> Iterator[tuple[Path_, Schema]]:
    """Every setting and section with its schema; in a table, one."""
    here = resolved(schema, root)
    if path:
        yield path, here
    for name, below in here.get("properties", {}).items():
        if name != "$schema":
            yield from walk(below, root, (*path, name))
    table = here.get("additionalProperties")
    if isinstance(table, dict) and not table.get("additionalProperties"):
        yield from walk(table, root, (*path, key_of(here)))


def wrong_values(schema: Schema) -> Iterator[str]:
    """Values of the wrong type, or none of those that are allowed."""
    if schema.get("type") == "object":
        yield from ("7", "[1, 2]", "words")
    elif schema.get("type") == "array":
        yield from ("{a: 1}", "7.5", "[[[1]]]")
    else:
        yield from ("[[1]]", "{a: {b: 1}}")
    if "enum" in schema and schema.get("type") == "string":
        yield from ("perhaps", "17", "null")
    if schema.get("type") == "integer":
        yield from ("many", "1.5", "-1", "1e999")
    if schema.get("type") == "boolean":
        yield from ("perhaps", "17", "null")


def placed(tree: Tree, path: Path_, value: object) -> Tree:
    """The settings with one more, or with another value of one."""
    name, *rest = path
    below = tree.get(name)
    under = below if isinstance(below, dict) else {}
    return {**tree, name: placed(under, tuple(rest), value) if rest else value}


def lines(tree: Tree, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """The file line by line, and which setting each begins."""
    for name, value in tree.items():
        start = "  " * len(path) + json.dumps(name) if not name.isidentifier() else "  " * len(path) + name
        if isinstance(value, dict):
            yield (*path, name), f"{start}:"
            yield from lines(value, (*path, name))
        else:
            yield (*path, name), f"{start}: {value}"


Mutant = tuple[str, str, int, str, str]
"""File, its text, the line that is wrong, the setting, and how it is wrong."""


def mutants() -> Iterator[Mutant]:
    for file in FILES:
        root = schema_of(file)
        for path, schema in walk(root, root):
            for wrong in wrong_values(schema):
                yield _mutant(file, placed(base(file), path, wrong), path, wrong)
            if schema.get("additionalProperties") is False:
                below = (*path, "zz-unknown")
                yield _mutant(file, placed(base(file), below, "1"), below, "unknown")
                below = (*path, "zz (unknown)")
                yield _mutant(file, placed(base(file), below, "1"), below, "unknown")
            yield _twice(file, path)
            for broken in ('"', "{", "@x", "&a *a", "\t- x: y", "2026-13-45", "!!int x"):
                yield _mutant(file, placed(base(file), path, broken), (), broken, at=path)


def _mutant(file: str, tree: Tree, path: Path_, wrong: str, at: Path_ | None = None) -> Mutant:
    written = list(lines(tree))
    line = [here for here, _ in written].index(path if at is None else at) + 1
    return file, "".join(f"{text}\n" for _, text in written), line, ".".join(path), wrong


def _twice(file: str, path: Path_) -> Mutant:
    """The same setting on two lines: the second is wrong."""
    written = list(lines(placed(base(file), path, "x")))
    index = [here for here, _ in written].index(path)
    texts = [text for _, text in written]
    texts.insert(index + 1, texts[index])
    return file, "\n".join(texts) + "\n", index + 2, "", "twice"


def encodings() -> Iterator[tuple[str, bytes, int]]:
    """Files that are not UTF-8, or hold what no text does."""
    for file in FILES:
        text = "".join(f"{line}\n" for _, line in lines(base(file))) + "# Übersicht\n"
        last = text.count("\n")
        for coding in ("latin-1", "cp1252"):
            yield file, text.encode(coding), last
        for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            yield file, text.replace("Ü", "U").encode(coding), 1
        yield file, text.encode()[:-1] + "ü".encode()[:1] + b"\n", last
        yield file, gzip.compress(text.encode(), mtime=0), 1
        for character in ("\0", "\x07", "\x1b", "\x7f", "\ufffe"):
            yield file, text.replace("block" if file == FILES[1] else "enforce", character, 1).encode(), _line_of(file)


def _line_of(file: str) -> int:
    return [path for path, _ in lines(base(file))].index(("unknown",) if file == FILES[1] else ("mode",)) + 1


def put(folder: Path, file: str, data: bytes) -> None:
    """A folder in which this file is as given and the other is sound."""
    folder.mkdir(exist_ok=True)
    for each in FILES:
        sound = "".join(f"{line}\n" for _, line in lines(base(each))).encode()
        (folder / each).write_bytes(data if each == file else sound)


async def page(_: Request) -> Response:
    return PlainTextResponse("page")


SITE = Starlette(routes=[Route("/", page)])


class House:
    """What runs by a folder: a middleware, and what takes up changes."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.live = Live(folder, {}, state)
        self.config = self.live.first()
        self.app = ConsentMiddleware(SITE, self.config, secrets=SECRETS, state=state)
        self.said: list[str] = []
        self.follower = Follower(self.live, self.config, self._use, self.said.append)

    async def _use(self, config: Config) -> None:
        self.config = config
        self.app.reload(config)
        for limits in (server_limits, upstream_limits):
            limits(config)
        plan_of(config, SECRETS[0])

    def answers(self) -> int:
        """The status that its front page has."""
        found: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])

        host = self.config.site.hosts[0].encode()
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "scheme": "http",
        }
        scope |= {"headers": [(b"host", host), (b"accept", b"text/html")], "client": ("127.0.0.1", 1)}
        scope |= {"http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"}, "server": ("127.0.0.1", 80)}
        asyncio.run(self.app(scope, receive, send))
        return found[0]


@pytest.fixture
def house(tmp_path: Path) -> House:
    put(tmp_path / "config", "", b"")
    return House(tmp_path / "config", tmp_path / "state")


def cases(count: int) -> Sequence[tuple[str, bytes, int, str, str]]:
    """``count`` of all mutants, and every wrong encoding."""
    found = list(mutants())
    chosen = found if count >= len(found) else random.Random(9).sample(found, count)
    texts = [(file, text.encode(), line, setting, wrong) for file, text, line, setting, wrong in chosen]
    return [*texts, *((file, data, line, "", "encoding") for file, data, line in encodings())]


LOOSE = ('"', "{", "\t- x: y")
"""What a parser only sees to be wrong further down."""


@pytest.mark.parametrize("count", [140, pytest.param(10**6, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_broken_ones_are_refused_where_they_are_wrong_and_change_nothing(
    count: int, house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "config"
    before = house.config
    for file, data, line, setting, wrong in cases(count):
        put(folder, file, data)
        what = (file, line, setting, wrong, data)
        asyncio.run(house.follower.again())
        problems = house.live.problems
        assert {problem.file for problem in problems} == {str(folder / file)}, what
        at_line = [problem for problem in problems if problem.line == line]
        assert at_line or wrong in LOOSE, (what, problems)
        assert not setting or any(problem.setting.startswith(setting) for problem in at_line), (what, problems)
        assert house.config is house.follower.config is before
    assert house.answers() == 200
    put(folder, "site.yaml", "".join(f"{text}\n" for _, text in lines({**base(FILES[0]), "csp": "report"})).encode())
    asyncio.run(house.follower.again())
    assert (house.follower.problems, house.config.csp) == ([], "report")


def test_there_are_hundreds_of_them() -> None:
    found = list(mutants())
    assert len(found) > 1500
    assert len({(file, setting) for file, *_, setting, _ in found}) > 120


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_none_of_two_hundred_takes_a_running_process_down(tmp_path: Path) -> None:
    with serve_asgi(SITE) as upstream, service(tmp_path, upstream) as running:
        folder = running.folder
        sound = {file: (folder / file).read_bytes() for file in FILES}
        processes = running.children("vestibule.worker") + running.children("vestibule.counting")
        for file, data, line, _, wrong in cases(200):
            said = running.said("config: not taken up")
            for each in FILES:
                (folder / each).write_bytes(data if each == file else sound[each])
            running.running.process.send_signal(signal.SIGHUP)
            wait_until(lambda before=said: running.said("config: not taken up") > before, "the refusal")  # type: ignore[misc]
            assert wrong in LOOSE or f"{folder / file}:{line}: " in running.running.output()
            assert running.get() == b"page"
        assert running.children("vestibule.worker") + running.children("vestibule.counting") == processes


# -- what is sound -----------------------------------------------------------------------------------------------------

HOSTS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,8}[a-z0-9])?){1,3}", fullmatch=True)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
DURATIONS = st.builds(
    lambda number, unit: f"{number}{unit}", st.integers(1, 300), st.sampled_from(["s", "m", " hours", "d"])
)
SPECIAL: dict[Path_, st.SearchStrategy[Any]] = {
    ("site", "name"): HOSTS,
    ("site", "hosts"): st.lists(HOSTS, min_size=1, max_size=3),
    ("site", "first_party"): st.lists(HOSTS, max_size=2),
    ("site", "upstream"): st.sampled_from(["http://127.0.0.1:1", "https://site.example", "unix:/run/site.sock"]),
    ("site", "upstream_ca"): st.none(),
    ("site", "timezone"): st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Chatham", "America/New_York"]),
    ("listen",): st.sampled_from(["127.0.0.1:8080", "[::1]:80", "unix:/run/vestibule.sock", "0.0.0.0:1"]),
    ("dashboard", "listen"): st.sampled_from(["127.0.0.1:8081", "[::1]:8081"]),
    ("trusted_proxies",): st.lists(st.sampled_from(["127.0.0.1/32", "::1", "10.0.0.0/8", "unix:"]), max_size=3),
    ("access_log",): st.sampled_from(["off", "stdout", False, "/var/log/vestibule.jsonl"]),
    ("store",): st.sampled_from(["chdb:///nowhere", "clickhouse://127.0.0.1:9/x", "clickhouse://h:1/x?secure=true"]),
    ("geoip",): st.none(),
    ("policy", "url"): st.sampled_from(["/privacy", "https://example.com/privacy", "/a/b?c=d"]),
    ("policy", "notice"): st.none(),
    ("cookies", "domain"): st.none(),
    ("lists",): st.just([]),
    ("dashboard", "oidc"): st.none(),
    ("dashboard", "hosts"): st.lists(HOSTS, max_size=2),
    ("dashboard", "networks"): st.lists(st.sampled_from(["10.0.0.0/8", "::1/128"]), max_size=2),
    ("dashboard", "embed"): st.lists(HOSTS.map("https://{}".format), max_size=2),
    ("analytics", "own"): st.lists(st.sampled_from(["192.0.2.0/24", "2001:db8::/32"]), max_size=2),
    ("analytics", "spam"): st.lists(HOSTS, max_size=2),
    ("analytics", "pages"): st.dictionaries(st.sampled_from(["/a/*", "/b/*/c"]), st.just("/a/:id"), max_size=2),
    ("services",): st.dictionaries(
        st.sampled_from(["google-analytics", "stripe", "youtube", "hotjar", "1xrun"]),
        st.sampled_from(["allow", "ask", "block"]),
        max_size=4,
    ),
    ("cname",): st.dictionaries(HOSTS, st.sampled_from(["adobe-analytics", "own"]), max_size=1),
    ("custom", "*", "hosts"): st.lists(HOSTS, min_size=1, max_size=3),
    ("custom", "*", "paths"): st.lists(st.sampled_from(["/w/*", "/x"]), max_size=2),
    ("custom", "*", "inline"): st.lists(st.sampled_from(["window.partner", "abcdef("]), max_size=2),
    ("custom", "*", "cookies"): st.lists(st.sampled_from(["_p", "_p_*"]), max_size=2),
}
"""What the schema says less of than it must hold to."""


def generated(schema: Schema, root: Schema, path: Path_ = ()) -> st.SearchStrategy[Any]:
    """Values by a schema."""
    if path in SPECIAL:
        return SPECIAL[path]
    here = resolved(schema, root)
    if "enum" in here:
        return st.sampled_from(here["enum"])
    kind = here.get("type")
    if kind == "object" and "properties" in here:
        required = set(here.get("required", ()))
        below = {
            name: generated(each, root, (*path, name)) for name, each in here["properties"].items() if name != "$schema"
        }
        return st.fixed_dictionaries(
            {name: each for name, each in below.items() if name in required},
            optional={name: each for name, each in below.items() if name not in required},
        )
    if kind == "object":
        table = here.get("additionalProperties")
        if not isinstance(table, dict) or table.get("additionalProperties"):
            return st.just({})
        keys = st.sampled_from([key_of(here), "en", "de", "own", "/a/*"])
        return st.dictionaries(keys, generated(table, root, (*path, "*")), max_size=2)
    if kind == "array" and "default" in here and not here["items"].get("enum"):
        return st.just(here["default"])
    if kind == "array":
        return st.lists(generated(here["items"], root, (*path, "*")), min_size=here.get("minItems", 0), max_size=3)
    if kind == "integer":
        least = here.get("minimum", here.get("exclusiveMinimum", -1) + 1)
        return st.integers(least, here.get("maximum", least + 10_000))
    if kind == "boolean":
        return st.booleans()
    if "s|seconds" in str(here.get("pattern", "")):
        return DURATIONS
    if "anyOf" in here:
        return st.one_of(st.just(here["default"]), st.integers(1, 10**7))
    # Words are not what most texts may be: then the whole must be refused.
    return st.sampled_from([here["default"]] * 30 + ["words"]) if "default" in here else WORDS


def by_schema(file: str) -> st.SearchStrategy[Any]:
    root = schema_of(file)
    return generated(root, root)


def start(values: Mapping[str, Any], trackers: Mapping[str, Any], folder: Path, house: House) -> bool:
    """Write a configuration and have a running house take it up; whether it was sound. Fails unless it is taken up
    whole or not at all."""
    put(folder, "", b"")
    for file, written in (("site.yaml", values), ("trackers.yaml", trackers)):
        (folder / file).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    before = house.config
    asyncio.run(house.follower.again())
    problems, found = [], None
    try:
        found = load(folder, {})
    except ConfigError as error:
        problems = list(map(str, error.problems))
    assert house.follower.problems == problems
    if found is None:
        assert problems
        assert house.config is before
        return False
    assert house.config.revision == found.revision
    assert ConsentMiddleware(SITE, found, secrets=SECRETS, state=folder.parent / "state")
    assert house.answers() == 200
    return True


def fuzz(examples: int, folder: Path, state: Path) -> Callable[[], None]:
    put(folder, "", b"")
    house = House(folder, state)

    @settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(by_schema("site.yaml"), by_schema("trackers.yaml"))
    def run(values: dict[str, Any], trackers: dict[str, Any]) -> None:
        start(values, trackers, folder, house)

    return run


@pytest.mark.parametrize("examples", [12, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_valid_one_starts_and_an_invalid_one_is_never_taken_up_in_part(examples: int, tmp_path: Path) -> None:
    fuzz(examples, tmp_path / "config", tmp_path / "state")()
