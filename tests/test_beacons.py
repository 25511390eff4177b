"""What pages tell by themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_visit import Tables
from vestibule.core.beacons import FIELDS, LONGEST, MOST, read
from vestibule.core.hits import DIMENSIONS, Hit, Settings
from vestibule.core.visit import EXPLICIT, facts


def told(*entries: dict[str, Any]) -> Any:
    return read(json.dumps(entries[0] if len(entries) == 1 else list(entries)).encode())


def test_each_kind() -> None:
    assert told({"kind": "client", "timezone": "Europe/Berlin", "screen": "1440x900", "page": "/a", "id": "x"}) == [
        ("client", (("timezone", "Europe/Berlin"), ("screen", "1440x900"), ("page", "/a")))
    ]
    assert told({"kind": "view", "page": "/b", "previous": "/a"}, {"kind": "event", "name": "export", "value": 3}) == [
        ("view", (("page", "/b"), ("previous", "/a"))),
        ("event", (("name", "export"), ("value", "3"))),
    ]
    assert told({"kind": "outbound", "host": "partner.example", "page": ""}) == [
        ("outbound", (("host", "partner.example"),))
    ]
    assert told({"kind": "client"}) == [("client", ())]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'"view"',
        b"\xff",
        b"[" * 100_000,
        b'{"kind": "visit"}',
        b'{"kind": "pixel", "name": "x"}',
        b'{"kind": ["view"]}',
        b'{"kind": "view"}',
        b'{"kind": "view", "page": "https://elsewhere.example/"}',
        b'{"kind": "view", "page": ["/a"]}',
        b'{"kind": "event"}',
        b'{"kind": "event", "name": ""}',
        b'{"kind": "event", "name": "x", "value": {"a": 1}}',
        b'{"kind": "event", "name": true}',
        b'{"kind": "outbound"}',
        b'[{"kind": "client"}, 1]',
        json.dumps([{"kind": "client"}] * (MOST + 1)).encode(),
    ],
)
def test_what_is_none_is_refused_whole(body: bytes) -> None:
    assert read(body) is None


def test_values_are_bounded_text() -> None:
    assert told({"kind": "event", "name": "x" * 2000, "value": "\ud800"}) == [
        ("event", (("name", "x" * LONGEST), ("value", "?")))
    ]


def test_kinds_and_fields_are_those_that_are_counted() -> None:
    for kind, fields in FIELDS.items():
        assert kind in EXPLICIT
        assert set(fields) <= {*DIMENSIONS[kind], "previous"}


def test_what_is_told_becomes_a_fact() -> None:
    (beacon,) = told({"kind": "outbound", "host": "Partner.example", "page": "/blog/x@y.example"})
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    hit = Hit("s", 1_795_000_000, "192.0.2.1", "POST", agent=agent, kind=beacon[0], event=beacon[1])
    (fact,), dropped = facts(hit, Settings(frozenset({"relaso.com"})), Tables())
    assert dropped is None
    assert (fact.kind, fact.values["host"][0], fact.values["page"][0]) == (
        "outbound",
        "partner.example",
        "/blog/:email",
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_is_answered(value: Any) -> None:
    read(json.dumps(value).encode())
    read(json.dumps({"kind": "event", "name": value}).encode())
