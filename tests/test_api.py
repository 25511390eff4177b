"""The stats API, health and metrics, over HTTP."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.admin import SITE, Admin, MemoryBackend, admin, person
from vestibule.dashboard.dimensions import KINDS
from vestibule.dashboard.health import exposition
from vestibule.dashboard.sheets import neutral, to_csv

BREAKDOWN = "/api/v1/breakdown"
TIMESERIES = "/api/v1/timeseries"


@pytest.fixture(scope="module")
def house() -> Iterator[Admin]:
    with admin() as served:
        yield served


@pytest.fixture(scope="module")
def ada(house: Admin) -> Iterator[httpx.Client]:
    with house.signed_in() as client:
        yield client


def test_breakdown_has_the_shape_of_the_contract(house: Admin, ada: httpx.Client) -> None:
    answer = ada.get(
        BREAKDOWN, params={"kind": "view", "by": "page", "from": "2026-11-01", "to": "2026-11-21", "limit": 2}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.json() == {
        "rows": [
            {"value": "/", "count": 3920, "visitors": 2980},
            {"value": "/pricing", "count": 2110, "visitors": 1604},
        ],
        "rare": {"count": 37, "visitors": 21},
        "provisional": False,
    }


def test_days_default_to_the_sites_today(house: Admin, ada: httpx.Client) -> None:
    house.backend.asked.clear()
    assert ada.get(BREAKDOWN, params={"kind": "view", "by": "page"}).json()["provisional"] is True
    asked = house.backend.asked[-1]
    assert asked["start"].isoformat() == asked["end"].isoformat() == "2026-11-22"
    assert (asked["site"], asked["limit"], asked["where"]) == ("relaso.com", 100, None)


def test_where_is_split_at_the_first_colon(house: Admin, ada: httpx.Client) -> None:
    assert (
        ada.get(BREAKDOWN, params={"kind": "view", "by": "page", "where": "referrer:search: Google"}).status_code == 200
    )
    assert house.backend.asked[-1]["where"] == ("referrer", "search: Google")


def test_timeseries_has_the_shape_of_the_contract(ada: httpx.Client) -> None:
    points = ada.get(TIMESERIES, params={"kind": "view", "interval": "hour"}).json()["points"]
    assert points[10]["time"] == "2026-11-22T10:00"
    assert all(set(point) == {"time", "count"} for point in points)


WRONG = [
    (BREAKDOWN, {}, {"kind", "by"}),
    (BREAKDOWN, {"kind": "view", "by": "colour"}, {"by"}),
    (BREAKDOWN, {"kind": "views", "by": "page"}, {"kind"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "limit": "0"}, {"limit"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "limit": "1001"}, {"limit"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "limit": "٣"}, {"limit"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "from": "yesterday"}, {"from"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "from": "2026-11-31"}, {"from"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "from": "2026-11-22", "to": "2026-11-20"}, {"from"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "from": "2001-01-01", "to": "2026-01-01"}, {"from"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "to": "9999-12-31"}, {"to"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "where": "country"}, {"where"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "where": "service:hotjar"}, {"where"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "where": "page:" + "x" * 1001}, {"where"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "group": "x"}, {"group"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "level": "top"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "level": "source"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "referrer", "level": "version"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "referrer", "level": "source", "where": "country:DE"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "level": "4"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "level": ""}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "level": "0", "where": "country:DE"}, {"level"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "where": "page:/"}, {"where"}),
    (TIMESERIES, {"kind": "view", "interval": "minute", "where": "page:/"}, {"where"}),
    (BREAKDOWN, {"kind": "view", "by": "page", "format": "xml"}, {"format"}),
    (TIMESERIES, {"kind": "view", "interval": "second"}, {"interval"}),
    (TIMESERIES, {"kind": "view", "interval": "minute", "from": "2026-11-01", "to": "2026-11-22"}, {"from"}),
]


@pytest.mark.parametrize(("path", "query", "parameters"), WRONG)
def test_wrong_parameters_are_told_all_at_once(
    ada: httpx.Client, path: str, query: dict[str, str], parameters: set[str]
) -> None:
    answer = ada.get(path, params=query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"], body["code"]) == ("about:blank", 400, "invalid-parameter")
    assert {fault["parameter"] for fault in body["errors"]} == parameters


@pytest.mark.parametrize(
    ("by", "level", "number"),
    [
        ("referrer", "group", 0),
        ("referrer", "source", 1),
        ("referrer", "page", 3),
        ("referrer", "2", 2),
        ("browser", "name", 0),
        ("os", "version", 1),
        ("country", "continent", 0),
        ("page", "0", 0),
    ],
)
def test_levels_of_trees_have_names(house: Admin, ada: httpx.Client, by: str, level: str, number: int) -> None:
    assert ada.get(BREAKDOWN, params={"kind": "view", "by": by, "level": level}).status_code == 200
    assert house.backend.asked[-1]["level"] == number


def test_the_names_of_levels_are_told_to_whoever_has_another(ada: httpx.Client) -> None:
    errors = ada.get(BREAKDOWN, params={"kind": "view", "by": "referrer", "level": "top"}).json()["errors"]
    assert errors == [{"parameter": "level", "detail": "is a number from 0 to 3, or one of group, source, page"}]


def test_a_parameter_given_twice_is_refused(ada: httpx.Client) -> None:
    answer = ada.get(BREAKDOWN + "?kind=view&by=page&by=country")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == ["by"]


@pytest.mark.parametrize("path", [BREAKDOWN, TIMESERIES])
def test_without_a_session_there_is_nothing(house: Admin, path: str) -> None:
    with house.client() as client:
        answer = client.get(path, params={"kind": "view", "by": "page"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "sign-in"


RECORDS = "/api/v1/consent-records"


def test_the_officer_finds_a_consent_record_by_its_number() -> None:
    backend = MemoryBackend(people={"olga": person("olga", "officer"), "ada": person()})
    with admin(backend) as house, house.signed_in("olga") as olga, house.signed_in("ada") as ada:
        assert olga.get(f"{RECORDS}/r1").json() == {"id": "r1", "site": SITE, "purposes": ["statistics"]}
        for unknown in ("r2", "a%20b", "x" * 65):
            assert olga.get(f"{RECORDS}/{unknown}").status_code == 404
        assert ada.get(f"{RECORDS}/r1").status_code == 403
        backend.failing.add("consent_record")
        assert olga.get(f"{RECORDS}/r1").status_code == 503


ACCEPTED = [
    ("*/*", "application/json"),
    ("text/csv", "text/csv; charset=utf-8"),
    ("application/json;q=0.5, text/csv", "text/csv; charset=utf-8"),
    ("text/csv;q=0.5, application/json", "application/json"),
    ("text/csv;q=0", "application/json"),
    ("text/csv;q=many", "application/json"),
    ("text/html,*/*;q=0.8", "application/json"),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPTED)
def test_the_format_follows_accept(ada: httpx.Client, accept: str, media_type: str) -> None:
    answer = ada.get(BREAKDOWN, params={"kind": "view", "by": "page"}, headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type
    assert "Accept" in answer.headers["vary"]


def test_csv_holds_the_same_numbers(ada: httpx.Client) -> None:
    query = {"kind": "view", "by": "country"}
    answer = ada.get(BREAKDOWN, params={**query, "format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="view-by-country.csv"'
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    body = ada.get(BREAKDOWN, params=query).json()
    assert rows[0] == ["value", "count", "visitors"]
    assert rows[1:-1] == [[row["value"], str(row["count"]), str(row["visitors"])] for row in body["rows"]]
    assert rows[-1] == ["(rare)", "37", "21"]
    answer = ada.get(TIMESERIES, params={"kind": "view", "interval": "day", "format": "csv"})
    assert answer.text.splitlines()[0] == "time,count,visitors"
    assert answer.text.splitlines()[1].startswith("2026-11-22,")


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1+1", "|cmd", "%0A=1", "\n-1", "\u00a0@x"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_is_a_formula(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "/pricing", "a=b", "'=1", "search: Google", "(rare)"])
def test_harmless_cells_stay(cell: str) -> None:
    assert neutral(cell) == cell


@given(st.lists(st.tuples(st.text(), st.integers(0)), max_size=5))
def test_csv_can_be_read_back_and_never_begins_a_formula(rows: list[tuple[str, int]]) -> None:
    read = list(csv.reader(io.StringIO(to_csv(rows), newline="")))
    assert [row[1] for row in read] == [str(count) for _, count in rows]
    for (value, _), (cell, _) in zip(rows, read, strict=True):
        assert cell.removeprefix("'") == value.removeprefix("'")
        assert cell.lstrip()[:1] not in tuple("=+-@")


def test_a_store_that_fails_is_a_503_without_internals() -> None:
    backend = MemoryBackend(people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        backend.failing = {"breakdown", "timeseries"}
        for path, query in (
            (BREAKDOWN, {"kind": "view", "by": "page"}),
            (TIMESERIES, {"kind": "view", "interval": "day"}),
        ):
            answer = client.get(path, params=query)
            assert answer.status_code == 503
            assert answer.json()["code"] == "store-unavailable"
            assert "retry-after" in answer.headers


def test_unknown_api_addresses_and_methods_are_problems(ada: httpx.Client) -> None:
    answer = ada.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert ada.request("DELETE", BREAKDOWN).json()["status"] == 405


def test_health_says_ok_and_tells_this_machine_the_rest(house: Admin) -> None:
    with house.client() as client:
        body = client.get("/healthz").json()
        assert body["status"] == "ok"
        assert body["spool"] == {"hashes": 12, "bytes": 4096, "shed": 0}
        passed_on = client.get("/healthz", headers={"X-Forwarded-For": "198.51.100.7"}).json()
        assert set(passed_on) == {"status", "version"}
        assert client.get("/readyz").json() == {"ready": True}


def test_health_without_a_store() -> None:
    backend = MemoryBackend(failing={"health"})
    with admin(backend) as house, house.client() as client:
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})


def test_health_with_a_refused_configuration() -> None:
    backend = MemoryBackend(config={"error": "site.yaml:3: site.hosts: is empty"})
    with admin(backend) as house, house.client() as client:
        assert client.get("/healthz").json()["status"] == "degraded"
        assert client.get("/readyz").status_code == 200


def test_metrics_are_for_this_machine_or_the_token() -> None:
    with admin(metrics_token="t0ken") as house, house.client() as client:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert "vestibule_store_up 1.0" in answer.text
        assert 'vestibule_spool{name="hashes"} 12.0' in answer.text
        assert 'vestibule_facts{name="view"} 9.0' in answer.text
        assert "vestibule_dropped 3.0" in answer.text
        elsewhere = {"X-Forwarded-For": "198.51.100.7"}
        assert client.get("/metrics", headers=elsewhere).status_code == 403
        assert client.get("/metrics", headers={**elsewhere, "Authorization": "Bearer wrong"}).status_code == 403
        assert client.get("/metrics", headers={**elsewhere, "Authorization": "Bearer t0ken"}).status_code == 200


def test_metrics_take_whatever_the_recorder_tells() -> None:
    spool = {"hashes": 1, 'odd "name"\n': 2, "path": "/x", "queue": {"a": 1}}
    text = exposition({"store": "down", "spool": spool, "not a name": 1, "healthy": 7, "config": {"revision": "x"}})
    assert b"vestibule_store_up 0.0" in text
    assert b'vestibule_spool{name="hashes"} 1.0' in text
    assert rb'vestibule_spool{name="odd \"name\"\n"} 2.0' in text
    assert b"/x" not in text
    assert b"not a name" not in text
    assert b"vestibule_healthy 0.0" in text
    assert "vestibule_store_up 0.0" in exposition(None).decode()


# -- the description, conditional answers, the archive -----------------------------------------------------------------


def test_the_description_names_every_route_and_parameter(house: Admin, ada: httpx.Client) -> None:
    body = ada.get("/api/v1/openapi.json").json()
    assert body["openapi"] == "3.1.0"
    assert set(body["paths"]) == {rule.path for rule in house.app.state.rules if rule.path.startswith("/api/")}
    schemas = body["components"]["schemas"]
    for reference in re.findall(r"#/components/schemas/(\w+)", json.dumps(body)):
        assert reference in schemas
    asked = {parameter["name"] for parameter in body["paths"]["/api/v1/breakdown"]["get"]["parameters"]}
    refusal = ada.get("/api/v1/breakdown?kind=view&by=page&x=1").json()["errors"][0]["detail"]
    assert refusal.partition("known are ")[2].split(", ") == sorted(asked)
    for dimension, named in body["x-levels"].items():
        for name in named:
            query = {"kind": "error" if dimension == "status" else "view", "by": dimension, "level": name}
            assert ada.get(BREAKDOWN, params=query).status_code == 200, query
    answer = ada.get("/api/v1/breakdown?kind=view&by=page").json()
    assert set(answer) == set(schemas["Breakdown"]["properties"])


def test_an_answer_that_is_known_is_not_sent_again(ada: httpx.Client) -> None:
    path = "/api/v1/breakdown?kind=view&by=page&from=2026-11-01&to=2026-11-20"
    answer = ada.get(path)
    tag = answer.headers["etag"]
    for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        again = ada.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == tag
    assert ada.get(path, headers={"If-None-Match": '"other"'}).content == answer.content
    assert ada.get(path, headers={"Accept": "text/csv"}).headers["etag"] != tag


def test_the_archive_holds_every_kind_by_every_dimension(ada: httpx.Client) -> None:
    answer = ada.get("/api/v1/export.zip?from=2026-11-01&to=2026-11-20")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{SITE}-2026-11-01-2026-11-20.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        rows = archive.read("view-by-page.csv").decode()
    assert {f"{kind}-by-{by}.csv" for kind, dimensions in KINDS.items() for by in dimensions} <= names
    assert (
        rows == ada.get("/api/v1/breakdown?kind=view&by=page&from=2026-11-01&to=2026-11-20&limit=1000&format=csv").text
    )


def test_the_archive_may_be_json_and_is_not_sent_again(ada: httpx.Client) -> None:
    path = "/api/v1/export.zip?from=2026-11-01&to=2026-11-20"
    answer = ada.get(f"{path}&format=json")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert all(name.endswith(".json") for name in found)
    query = "from=2026-11-01&to=2026-11-20"
    assert found["view-by-page.json"] == ada.get(f"/api/v1/breakdown?kind=view&by=page&limit=1000&{query}").json()
    assert found["view-by-day.json"] == ada.get(f"/api/v1/timeseries?kind=view&interval=day&{query}").json()
    known = {"If-None-Match": ada.get(path).headers["etag"]}
    assert ada.get(path, headers=known).status_code == 304
    assert ada.get(f"{path}&format=json", headers=known).status_code == 200
    for wrong in ("&format=xml", "&kind=view", "&from=2026-11-02"):
        assert ada.get(path + wrong).json()["code"] == "invalid-parameter", wrong


def test_a_kind_without_dimensions_has_no_breakdown(ada: httpx.Client) -> None:
    answer = ada.get("/api/v1/breakdown?kind=asked&by=choice")
    assert (answer.status_code, [fault["parameter"] for fault in answer.json()["errors"]]) == (400, ["kind"])
    assert ada.get("/api/v1/timeseries?kind=asked&interval=hour").json()["points"]


def test_the_archive_is_whole_or_none() -> None:
    backend = MemoryBackend(people={"ada": person()}, failing={"outbound"})
    with admin(backend) as house, house.signed_in() as client:
        assert client.get("/api/v1/export.zip").status_code == 503
        assert client.get("/api/v1/export.zip?from=x").json()["code"] == "invalid-parameter"
