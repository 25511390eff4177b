from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.consent import ASKED, MARK, Choice, ChoiceSigner, Purpose, mark

NOW = 1_790_000_000
DAY = 86_400
CHOICE = Choice(
    frozenset({Purpose.STATISTICS}), "2024-10-29", NOW, record="r4nd0m", services={"youtube": True, "hotjar": False}
)
SIGNER = ChoiceSigner(["secret"], "relaso.com", 180 * DAY)

purposes = st.frozensets(st.sampled_from(ASKED))
choices = st.builds(
    Choice,
    purposes=purposes,
    revision=st.text(max_size=20),
    time=st.integers(NOW - 100 * DAY, NOW),
    record=st.none() | st.text(max_size=30),
    services=st.dictionaries(st.text(max_size=20), st.booleans(), max_size=4),
    shown=st.none() | st.frozensets(st.text("abcXYZ019-_", min_size=MARK, max_size=MARK), max_size=30),
    surface=st.sampled_from(["", "banner", "centre"]),
    language=st.sampled_from(["", "de", "pt-BR"]),
    texts=st.sampled_from(["", "0123456789abcdef"]),
    signal=st.sampled_from(["", "gpc", "dnt"]),
    objects=st.booleans(),
    notice=st.sampled_from(["", "2027-01-15"]),
)


@given(choices)
def test_a_token_carries_the_choice(choice: Choice) -> None:
    token = SIGNER.dumps(choice)
    assert SIGNER.loads(token, NOW) == choice
    assert token.isascii()
    assert not set(token) & set(' ",;\\\t')


@pytest.mark.parametrize(
    ("services", "purpose", "service", "granted"),
    [
        ({}, Purpose.STATISTICS, None, True),
        ({}, Purpose.STATISTICS, "hotjar", True),
        ({}, Purpose.MARKETING, None, False),
        ({}, Purpose.NECESSARY, "stripe", True),
        ({"hotjar": False}, Purpose.STATISTICS, "hotjar", False),
        ({"youtube": True}, Purpose.PREFERENCES, "youtube", True),
        ({"youtube": True}, Purpose.PREFERENCES, "vimeo", False),
    ],
)
def test_what_is_granted(services: dict[str, bool], purpose: Purpose, service: str | None, granted: bool) -> None:
    choice = Choice(frozenset({Purpose.STATISTICS}), "1", NOW, services=services)
    assert choice.grants(purpose, service) is granted


@pytest.mark.parametrize(
    ("granted", "services", "label"),
    [
        (frozenset(), {}, "reject"),
        (frozenset(), {"youtube": False}, "reject"),
        (frozenset(), {"youtube": True}, "save"),
        (frozenset({Purpose.STATISTICS}), {}, "save"),
        (frozenset(ASKED), {}, "accept"),
        (frozenset(ASKED), {"hotjar": False}, "save"),
    ],
)
def test_label(granted: frozenset[Purpose], services: dict[str, bool], label: str) -> None:
    assert Choice(granted, "1", NOW, services=services).label == label


def test_every_single_changed_character_is_noticed() -> None:
    token = SIGNER.dumps(CHOICE)
    for index in range(len(token)):
        for other in "A", "B", "_", ".", "=":
            if token[index] != other:
                assert SIGNER.loads(token[:index] + other + token[index + 1 :], NOW) is None


def test_flipped_padding_bits_make_no_second_token() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = SIGNER.dumps(CHOICE)
    valid = [last for last in alphabet if SIGNER.loads(token[:-1] + last, NOW) is not None]
    assert valid == [token[-1]]
    payload, signature = token.rsplit(".", 1)
    for last in alphabet:
        if last != payload[-1]:
            assert SIGNER.loads(f"{payload[:-1]}{last}.{signature}", NOW) is None


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_truncated_token_is_no_choice(cut: int) -> None:
    assert SIGNER.loads(SIGNER.dumps(CHOICE)[:cut], NOW) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.é", "a" * 5000, "{}", "null.null"])
def test_nonsense_is_no_choice(token: str) -> None:
    assert SIGNER.loads(token, NOW) is None


def test_a_token_of_another_site_is_no_choice() -> None:
    assert ChoiceSigner(["secret"], "other.example", 180 * DAY).loads(SIGNER.dumps(CHOICE), NOW) is None


@pytest.mark.parametrize(
    ("age", "valid"), [(0, True), (179 * DAY, True), (180 * DAY, False), (-200, True), (-301, False)]
)
def test_a_choice_lives_as_long_as_it_is_kept(age: int, valid: bool) -> None:
    choice = dataclasses.replace(CHOICE, time=NOW - age)
    assert (SIGNER.loads(SIGNER.dumps(choice), NOW) is not None) is valid


def test_keys_rotate_without_asking_anyone_again() -> None:
    before = SIGNER.dumps(CHOICE)
    rotated = ChoiceSigner(["newer", "secret"], "relaso.com", 180 * DAY)
    assert rotated.loads(before, NOW) == CHOICE
    assert rotated.dumps(CHOICE) != before
    assert SIGNER.loads(rotated.dumps(CHOICE), NOW) is None


@pytest.mark.parametrize("secrets", [[], [""], ["a", ""]])
def test_an_empty_secret_is_refused(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        ChoiceSigner(secrets, "relaso.com", DAY)


@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("notice", ["", "2027-01-15"])
def test_what_is_no_choice_is_kept_without_one(objects: bool, notice: str) -> None:
    kept = Choice(frozenset(), "", NOW, objects=objects, notice=notice, decided=False)
    assert SIGNER.loads(SIGNER.dumps(kept), NOW) == kept


def test_refusals_are_all_alike() -> None:
    tokens = {SIGNER.dumps(Choice(frozenset(), "1", NOW, surface="banner", language="de")) for _ in range(3)}
    assert len(tokens) == 1


def test_a_mark_tells_services_and_purposes_apart() -> None:
    marks = {mark(service, purpose) for service in ("youtube", "vimeo") for purpose in ASKED}
    assert len(marks) == 6
    assert all(len(each) == MARK and each.isascii() for each in marks)


def test_a_token_of_many_services_still_fits() -> None:
    shown = frozenset(mark(f"service-{number}", Purpose.MARKETING) for number in range(200))
    choice = dataclasses.replace(CHOICE, shown=shown, surface="banner", language="zh-Hant", texts="0123456789abcdef")
    token = SIGNER.dumps(choice)
    assert len(token) < 1600
    assert SIGNER.loads(token, NOW) == choice
