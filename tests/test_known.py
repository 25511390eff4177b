"""The layer of the catalogue that is generated: what the tool makes of its sources, and the file it made."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest

from tools import catalogue as tool
from vestibule import catalogue
from vestibule.core.consent import Purpose
from vestibule.core.services import Service

FILE = Path(catalogue.__file__).with_name("known.json")
REVIEWED = (
    Service("big", "Big", Purpose.MARKETING, hosts=("*.big.example.com",), paths=("shared.example.net/big/",)),
    Service("tidy-name", "Tidy Name!", Purpose.STATISTICS, inline=("tidy\\.js",)),
)

WEB = json.dumps(
    [
        {"name": "Ads &amp; More", "company": "More Inc.", "category": "ad", "domains": ["*.ads.com", "cdn.ads.com"]},
        {"name": "Numbers", "category": "analytics", "domains": ["numbers.io", "d1abc.cloudfront.net"]},
        {"name": "Reviewed in part", "category": "ad", "domains": ["x.big.example.com", "*.other-of-it.com"]},
        {"name": "Shares a host", "category": "ad", "domains": ["shared.example.net"]},
        {"name": "Big", "category": "ad", "domains": ["*.elsewhere.com"]},
        {"name": "Tidy name", "category": "ad", "domains": ["*.untidy.com"]},
        {"name": "Rented", "category": "cdn", "domains": ["*.kxcdn.com", "cloudfront.net", "23.62.3.183", "com"]},
        {"name": "Fontdeck", "category": "cdn", "domains": ["*.fontdeck.com"]},
        {"name": "Numbers again", "category": "ad", "domains": ["numbers.io"]},
        {"name": "Player", "category": "video", "domains": ["*.player.tv"]},
    ]
)
COOKIES = """
// a comment with https://comment.example.com/x
tarteaucitron.services.numbers = {
    "key": "numbers",
    "type": "ads",
    "name": "Numbers (privacy by design)",
    "uri": "https://numbers.io/privacy",
    "cookies": ["_numbers_id", "_numbers_" + tarteaucitron.user.id, "num_s_", 'session_id', "uid", "twice_used"],
    "js": function () { tarteaucitron.addScript('https://numbers.io/n.js'); }
};
tarteaucitron.services['fresh'] = {
    "key": "fresh",
    "type": "support",
    "name": "Fresh Chat-Thing",
    "uri": "http://insecure.example.org/",
    "cookies": ['fresh_chat', 'twice_used'],
    "js": function () {
        // tarteaucitron.addScript('//old.freshthing.com/w.js');
        tarteaucitron.addScript('//w.freshthing.com/w.js');
    }
};
tarteaucitron.services.player = {
    "type": "video", "name": "Player", "uri": "https://player.tv/p", "cookies": ["player_seen"],
    "js": function () { x = '<iframe src="https://www.player.tv/embed/' }
};
tarteaucitron.services.big = {
    "type": "api", "name": "Larger", "uri": "", "cookies": ["big_one"],
    "js": function () { tarteaucitron.addScript('https://a.big.example.com/n.js'); }
};
tarteaucitron.services.gcm = {
    "type": "google", "name": "Advertising", "uri": "https://policies.google.com/privacy", "cookies": []
};
"""


def blocks() -> dict[str, dict[str, object]]:
    return tool.build(tool.entities(WEB), tool.vendors(COOKIES), REVIEWED)


def test_what_is_made_of_the_sources() -> None:
    assert blocks() == {
        "ads-and-more": {
            "name": "Ads & More",
            "category": "advertising",
            "provider": "More Inc.",
            "hosts": ["*.ads.com"],
        },
        "fontdeck": {"name": "Fontdeck", "category": "fonts", "hosts": ["*.fontdeck.com"]},
        "fresh-chat-thing": {
            "name": "Fresh Chat-Thing",
            "category": "chat",
            "hosts": ["w.freshthing.com"],
            "cookies": ["fresh_chat"],
        },
        "numbers": {
            "name": "Numbers",
            "category": "advertising",  # the stricter purpose of the two
            "policy": "https://numbers.io/privacy",
            "hosts": ["numbers.io", "d1abc.cloudfront.net"],
            "cookies": ["_numbers_*", "_numbers_id", "num_s_*"],
        },
        "player": {
            "name": "Player",
            "category": "video",
            "policy": "https://player.tv/p",
            "hosts": ["*.player.tv"],
            "third_party_cookies": ["player_seen"],
        },
    }


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Google Tag Manager", "google-tag-manager"),
        ("AT&T", "at-and-t"),
        ("Kinderärzte №1", "kinderarzte-no1"),
        ("Trader Joe's", "trader-joes"),
        ("  x__y.z ", "x-y-z"),
    ],
)
def test_ids(name: str, id_: str) -> None:
    assert tool.kebab(name) == id_


@pytest.mark.parametrize(("theirs", "ours"), [*tool.CATEGORIES.items(), *tool.TYPES.items()])
def test_categories_become_purposes(theirs: str, ours: str) -> None:
    """Advertising, social networks and tag managers are marketing, analytics are statistics, what shows something is
    preferences, and so is what others are built with; what nobody knows is marketing. Nothing is necessary."""
    expected = {
        **dict.fromkeys(("ad", "ads", "marketing", "social", "comment", "tag-manager", "other"), Purpose.MARKETING),
        **dict.fromkeys(("analytics", "analytic"), Purpose.STATISTICS),
        **dict.fromkeys(("video", "customer-success", "support", "content", "consent-provider"), Purpose.PREFERENCES),
        **dict.fromkeys(("utility", "cdn", "hosting", "api"), Purpose.PREFERENCES),
    }
    assert catalogue.PURPOSES[ours] is expected[theirs]


def test_corrections_are_of_something() -> None:
    known = json.loads(FILE.read_text("utf-8"))
    assert set(tool.CORRECTIONS.values()) <= set(catalogue.PURPOSES)
    for id_, category in tool.CORRECTIONS.items():
        assert known[id_]["category"] == category, id_


def test_the_file_is_as_the_tool_writes_it() -> None:
    text = FILE.read_text("utf-8")
    known = json.loads(text)
    assert tool.dumped(known) == text
    assert list(known) == sorted(known)
    assert text.count("\n") == len(known) + 2
    assert FILE.stat().st_size < 250_000


def test_the_file_keeps_clear_of_what_is_reviewed() -> None:
    reviewed = catalogue.reviewed().services
    taken = {service.id for service in reviewed} | {tool.kebab(service.name) for service in reviewed}
    assert not taken & json.loads(FILE.read_text("utf-8")).keys()


@pytest.mark.parametrize("category", sorted(catalogue.PURPOSES))
def test_every_category_has_words_for_visitors(category: str) -> None:
    assert catalogue.SENTENCES.get(category, "") or category == "payment"


def test_archives_are_held_against_what_was_pinned(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/x.json")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    file = tmp_path / "x.tgz"
    file.write_bytes(packed.getvalue())
    right = b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
    assert tool.member(file, tool.Package("x", "1", right), "x.json") == "{}"
    with pytest.raises(SystemExit, match=r"is not x 1 as it was pinned"):
        tool.member(file, tool.Package("x", "1", right[::-1]), "x.json")
