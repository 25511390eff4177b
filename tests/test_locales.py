"""The languages that visitors read: every file whole, in its own words, and written alike."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from babel.dates import format_date

FOLDER = Path(__file__).parent.parent / "static" / "banner" / "locales"
TAGS = sorted(path.stem for path in FOLDER.glob("*.json"))
TRANSLATED = [tag for tag in TAGS if tag != "en"]

UNION = {
    "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr",
    "hu", "it", "lt", "lv", "mt", "nl", "pl", "pt", "ro", "sk", "sl", "sv",
}  # fmt: skip
"""The official languages of the European Union (Regulation No 1/1958, article 1)."""
BEYOND = {
    "ar", "az", "bn", "ca", "eu", "fa", "gl", "he", "hi", "id", "is", "ja", "ko", "ms", "nb", "pt-BR",
    "ru", "sq", "sr", "sr-Latn", "th", "tr", "uk", "ur", "vi", "zh-Hans", "zh-Hant",
}  # fmt: skip
RIGHT_TO_LEFT = {"ar", "fa", "he", "ur"}
FORMS = ("zero", "one", "two", "few", "many", "other")
"""The plural categories of CLDR, in its order."""
COUNTLESS = ("zero", "one", "two")
"""Forms that may say their number in words."""
BUTTON = 40
"""Characters that a button of the banner holds on a phone."""

SAME_AS_ENGLISH = {
    "centre.cookies": {"cs", "da", "de", "es", "fr", "gl", "nl", "pt", "pt-BR"},
    "cookie.name": {"de"},
    "cookie.service": {"fr"},
    "purposes.marketing.name": {"de", "pl"},
}
"""Words that a language shares with English."""
ENGLISH = re.compile(r"\b(?:the|you|your|and|with|which|nothing|this|privacy policy|keep me)\b", re.IGNORECASE)
SCRIPTS = {
    "ar": "ARABIC", "bg": "CYRILLIC", "bn": "BENGALI", "el": "GREEK", "fa": "ARABIC", "he": "HEBREW",
    "hi": "DEVANAGARI", "ja": "CJK HIRAGANA KATAKANA", "ko": "HANGUL", "ru": "CYRILLIC", "sr": "CYRILLIC",
    "th": "THAI", "uk": "CYRILLIC", "ur": "ARABIC", "zh-Hans": "CJK", "zh-Hant": "CJK",
}  # fmt: skip
"""What the letters of a language are called in Unicode; Latin where nothing is said."""
LOAN = re.compile("cookies?", re.IGNORECASE)
"""Written in Latin letters in other scripts, too."""
ENDS = (".", "。", "۔", "।")
"""Full stops. Thai has none."""

Text = str | dict[str, str]


@cache
def read(tag: str) -> dict[str, Any]:
    data = json.loads((FOLDER / f"{tag}.json").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def leaves(data: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Text]]:
    """Every text with its path; one with the key ``other`` is a text in several forms."""
    for key, value in data.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and "other" not in value:
            yield from leaves(value, here)
        else:
            yield here, value


def forms(text: Text) -> dict[str, str]:
    return text if isinstance(text, dict) else {"other": text}


def words(tag: str) -> Iterator[tuple[str, str]]:
    """Every text in every form, without the name and direction of the language."""
    for path, text in leaves(read(tag)):
        if path not in ("name", "direction"):
            for form in forms(text).values():
                yield path, form


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def without_placeholders(text: str) -> str:
    return re.sub(r"\{\w+\}", "", text)


def script(letter: str) -> str:
    """The first word of a letter's name: LATIN, GREEK, CJK …"""
    return unicodedata.name(letter, "").split(" ")[0]


def written_alike(data: Mapping[str, Any]) -> str:
    """How a file is written: a section opens a block, what is deeper stands on its line."""

    def line(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    blocks = []
    for key, value in data.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"    {line(name)}: {line(text)}" for name, text in value.items())
            blocks.append(f"  {line(key)}: {{\n{inner}\n  }}")
        else:
            blocks.append(f"  {line(key)}: {line(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


ENGLISH_TEXTS = dict(leaves(read("en")))


# -- which there are ---------------------------------------------------------------------------------------------------


def test_there_are_forty_languages_and_all_of_the_union() -> None:
    assert len(TAGS) >= 40
    assert set(TAGS) >= UNION | BEYOND


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_is_one_that_babel_knows_and_writes_the_same(tag: str) -> None:
    locale = Locale.parse(tag, sep="-")
    assert "-".join(part for part in (locale.language, locale.script, locale.territory) if part) == tag


def test_every_language_has_its_own_name() -> None:
    names = [read(tag)["name"] for tag in TAGS]
    assert len(set(names)) == len(names)
    for tag, name in zip(TAGS, names, strict=True):
        assert any(script(letter) in SCRIPTS.get(tag, "LATIN").split() for letter in name), tag


@pytest.mark.parametrize("tag", TAGS)
def test_the_direction_is_that_of_the_script(tag: str) -> None:
    direction = read(tag)["direction"]
    assert direction == ("rtl" if tag in RIGHT_TO_LEFT else "ltr")
    assert direction == {"right-to-left": "rtl", "left-to-right": "ltr"}[Locale.parse(tag, sep="-").character_order]


# -- whole -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_text_is_there_in_the_order_of_english_and_none_besides(tag: str) -> None:
    assert [path for path, _ in leaves(read(tag))] == list(ENGLISH_TEXTS)


@pytest.mark.parametrize("tag", TAGS)
def test_every_text_says_something(tag: str) -> None:
    for path, text in leaves(read(tag)):
        for form in forms(text).values():
            assert isinstance(form, str), path
            assert form, path
            assert form == form.strip(), path
            assert "  " not in form, path
            assert unicodedata.is_normalized("NFC", form), path


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_placeholder_is_kept(tag: str) -> None:
    for path, text in leaves(read(tag)):
        english = ENGLISH_TEXTS[path]
        assert isinstance(text, dict) == isinstance(english, dict), path
        wanted = placeholders(forms(english)["other"])
        for form, own in forms(text).items():
            found = placeholders(own)
            if form in COUNTLESS and "{count}" not in found:
                found = sorted([*found, "{count}"])
            assert found == wanted, (path, form)
            assert not re.search(r"[{}]", without_placeholders(own)), (path, form)


@pytest.mark.parametrize("tag", TAGS)
def test_a_number_has_the_forms_that_the_language_gives_it(tag: str) -> None:
    """Those that whole numbers up to 1000 take, in the order of CLDR, and always ``other``."""
    locale = Locale.parse(tag, sep="-")
    taken = {str(locale.plural_form(number)) for number in range(1001)} | {"other"}
    plurals = {path: text for path, text in leaves(read(tag)) if isinstance(text, dict)}
    assert plurals
    for path, text in plurals.items():
        assert list(text) == [form for form in FORMS if form in taken], path


@pytest.mark.parametrize("tag", TAGS)
def test_a_form_without_its_number_stands_for_one_number_only(tag: str) -> None:
    """In Latvian ``zero`` is also 10, in Russian ``one`` is also 21: there the number must be said."""
    locale = Locale.parse(tag, sep="-")
    for path, text in leaves(read(tag)):
        if not isinstance(text, dict):
            continue
        for form, own in text.items():
            if "{count}" not in own:
                assert sum(locale.plural_form(number) == form for number in range(1001)) == 1, (path, form)


# -- in its own words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TRANSLATED)
def test_nothing_is_left_in_english(tag: str) -> None:
    english = {path: set(forms(text).values()) for path, text in ENGLISH_TEXTS.items()}
    for path, own in words(tag):
        if own in english[path]:
            assert tag in SAME_AS_ENGLISH.get(path, ()), path
        assert not ENGLISH.search(without_placeholders(own)), path


@pytest.mark.parametrize("tag", sorted(SCRIPTS.keys() & set(TAGS)))
def test_every_text_is_in_the_script_of_the_language(tag: str) -> None:
    for path, own in words(tag):
        letters = [letter for letter in LOAN.sub("", without_placeholders(own)) if letter.isalpha()]
        native = [letter for letter in letters if script(letter) in SCRIPTS[tag].split()]
        assert len(native) > len(letters) / 2, path


@pytest.mark.parametrize("tag", TAGS)
def test_no_word_mixes_letters_that_look_alike(tag: str) -> None:
    for path, own in words(tag):
        for word in re.findall(r"\w+", without_placeholders(own)):
            scripts = {script(letter) for letter in word if letter.isalpha()} & {"LATIN", "CYRILLIC", "GREEK"}
            assert len(scripts) <= 1, (path, word)


def test_the_two_chinese_scripts_differ() -> None:
    simplified, traditional = dict(words("zh-Hans")), dict(words("zh-Hant"))
    long = [path for path, own in simplified.items() if len(own) > 20]
    assert all(simplified[path] != traditional[path] for path in long)


# -- fit to be shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TAGS)
def test_there_is_no_markup(tag: str) -> None:
    for path, own in words(tag):
        assert not re.search(r"[<>&\\`\t\n\r\x00-\x1f]", own), path
        assert not re.search("[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffd]", own), path


@pytest.mark.parametrize("tag", TAGS)
def test_the_answers_fit_two_buttons_alike(tag: str) -> None:
    banner = read(tag)["banner"]
    for yes, no in (("accept", "reject"), ("new_accept", "new_reject")):
        accept, reject = banner[yes], banner[no]
        assert accept != reject
        assert max(len(accept), len(reject)) <= BUTTON
        assert abs(len(accept) - len(reject)) <= 7
        assert len(accept.split()) - len(reject.split()) in (-1, 0, 1)
    assert len(banner["choose"]) <= BUTTON
    assert len(banner["save"]) <= BUTTON
    assert len(banner["withdraw"]) <= BUTTON


@pytest.mark.parametrize("tag", TRANSLATED)
def test_no_text_is_far_longer_than_in_english(tag: str) -> None:
    for path, text in leaves(read(tag)):
        length = len(forms(ENGLISH_TEXTS[path])["other"])
        for own in forms(text).values():
            assert len(own) <= 1.8 * length + 15, path


@pytest.mark.parametrize("tag", [tag for tag in TRANSLATED if tag != "th"])
def test_a_sentence_ends_as_one_and_a_button_does_not(tag: str) -> None:
    for path, text in leaves(read(tag)):
        sentence = forms(ENGLISH_TEXTS[path])["other"].endswith(".")
        for own in forms(text).values():
            assert own.endswith(ENDS) == sentence, path


@pytest.mark.parametrize("tag", TAGS)
def test_no_date_puts_two_full_stops_at_an_end(tag: str) -> None:
    """In some languages a date ends in a full stop of its own: 5. ožujka 2026."""
    if format_date(date(2026, 3, 5), "long", locale=Locale.parse(tag, sep="-")).endswith("."):
        for path, own in words(tag):
            assert "{date}." not in own, path


@pytest.mark.parametrize("tag", TAGS)
def test_the_promised_thirty_days_are_named(tag: str) -> None:
    assert "30" in read(tag)["centre"]["rights_text"]


# -- written alike -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TAGS)
def test_files_are_written_alike(tag: str) -> None:
    """Two spaces a level, UTF-8 as it is read, one end of line; no key is there twice, as reading drops one."""
    source = (FOLDER / f"{tag}.json").read_bytes()
    assert source == written_alike(json.loads(source)).encode("utf-8")
