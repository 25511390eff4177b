"""``vestibule catalogue show``."""

from __future__ import annotations

import pytest

from vestibule import catalogue
from vestibule.cli.showing import lasting, show
from vestibule.core.errors import VestibuleError


def test_a_reviewed_service(capsys: pytest.CaptureFixture[str]) -> None:
    show("hotjar")
    out = capsys.readouterr().out
    assert out.startswith("hotjar: Hotjar\n  purpose   statistics (analytics)\n  visitors  Records how visitors move")
    for part in ("provider  Hotjar Limited, MT", "reviewed  by hand", "*.hotjar.com", "_hjSettings"):
        assert part in out
    assert "_hjSessionUser_* (1 year)" in out
    assert max(map(len, out.splitlines())) <= 120


def test_one_that_nobody_reviewed_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    known = catalogue.load()
    service = next(service for service in known.services if service.id not in known.by_hand)
    show(service.id)
    out = capsys.readouterr().out
    assert "reviewed  by nobody" in out
    assert service.hosts[0] in out


def test_several_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    show("google ireland")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["google-analytics", "Google", "Analytics", "(statistics)"] for line in lines)
    show("e")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 51
    assert lines[-1].endswith(" more")


@pytest.mark.parametrize(("name", "hint"), [("hotjarr", "; did you mean hotjar?"), ("zzzzqqq", "")])
def test_what_nobody_knows(name: str, hint: str) -> None:
    with pytest.raises(VestibuleError) as caught:
        show(name)
    assert str(caught.value) == f"catalogue: nothing is known of {name}{hint}"


def test_every_service_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from vestibule.cli.showing import _lines

    known = catalogue.load()
    for service in known.services:
        assert len(list(_lines(service, known))) >= 5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "session"),
        (1, "1 second"),
        (90, "90 seconds"),
        (1800, "30 minutes"),
        (63_072_000, "2 years"),
        (34_164_000, "13 months"),
    ],
)
def test_durations_in_words(seconds: int, words: str) -> None:
    assert lasting(seconds) == words
