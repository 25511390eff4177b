"""The compiled scanner comes to the same as regular expressions do, whatever it is given."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.test_rewriter import (
    ADVERSARIAL,
    CASES,
    FOREIGN,
    PAGE,
    PAGES,
    Gate,
    OpenGate,
    QuickGate,
    attacks,
    markup,
    needs_corpus,
)
from vestibule.core.html import compiled, elements, judge, scanner
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.gate import BY_URL
from vestibule.core.html.inject import Inject
from vestibule.core.html.rewriter import Rewriter
from vestibule.core.html.unless import Unless

HTML5LIB = PAGES.parent / "html5lib-tokenizer"
PLAIN, INJECT = Inject(), Inject(b"[HEAD]", b"[BODY]", b"[FOOT]")
SCANNER = scanner.SCANNER

pytestmark = pytest.mark.skipif(SCANNER is None, reason="the compiled scanner was not built")


class Pure(Rewriter):
    """Does without the compiled scanner."""

    _scanner = None


class RelayGate(Gate):
    """Opens its own host but for some paths, some foreign hosts, and decides on others by the whole address."""

    OPEN = Unless(["gtm.js", "collect", "t"])

    def url(self, url: str, kind: str) -> Any:
        host, *path = url.partition("://")[2].partition("?")[0].split("/")
        if host == "www.site.example" and any(segment.startswith(self.OPEN.words) for segment in path):
            return super().url("https://relay.example/", kind)
        return None if host.endswith("open.example") else super().url(url, kind)

    def origin(self, origin: str, kind: str) -> Any:
        if origin.endswith("//www.site.example"):
            return self.OPEN
        return BY_URL if origin.endswith("example.org") else self.url(origin + "/", kind)


class OpenQuickGate(OpenGate):
    def origin(self, origin: str, kind: str) -> None:
        return None


GATES = (QuickGate, RelayGate, OpenQuickGate)


def results(
    kind: type[Rewriter], page: bytes, cuts: Iterable[int], gate: Any, inject: Inject, url: str = PAGE
) -> tuple[bytes, list[Any]]:
    rewriter = kind(url, gate, inject)
    position, out = 0, []
    for size in cuts:
        out.append(rewriter.feed(page[position : position + size]))
        position += size
    out += [rewriter.feed(page[position:]), rewriter.close()]
    return b"".join(out), rewriter.gated


def agree(
    page: bytes, cuts: Iterable[int] = (), gates: Iterable[Any] = GATES, injects: Iterable[Inject] = (PLAIN, INJECT)
) -> None:
    cuts = list(cuts)
    for gate, inject in itertools.product(gates, injects):
        assert results(Rewriter, page, cuts, gate(), inject) == results(Pure, page, cuts, gate(), inject)


# Real pages


@needs_corpus
def test_all_pages() -> None:
    generator = random.Random(2)
    for number, path in enumerate(sorted(PAGES.glob("*.html"))):
        page = path.read_bytes()
        agree(page, gates=(GATES[number % 3],), injects=(INJECT,))
        cuts = [generator.choice((7, 300, 4096)) for _ in range(60)]
        agree(page[:40_000], cuts, gates=(GATES[(number + 1) % 3],), injects=(PLAIN,))


@needs_corpus
def test_pages_as_their_own_sites_see_them() -> None:
    from bench.rewrite import Gate as OwnGate
    from bench.rewrite import address

    for path in sorted(PAGES.glob("*.html"))[::5]:
        page = path.read_bytes()
        url = address(page)
        assert results(Rewriter, page, (), OwnGate(url), INJECT, url) == results(
            Pure, page, (), OwnGate(url), INJECT, url
        )


def test_small_pages_at_every_cut() -> None:
    for path in sorted(CASES.glob("*.src.html")):
        page = path.read_bytes()
        for gate in GATES:
            wanted = results(Pure, page, (), gate(), INJECT)
            for cut in range(0, len(page), 1 if len(page) < 600 else 7):
                assert results(Rewriter, page, [cut], gate(), INJECT) == wanted, cut
            assert results(Rewriter, page, [1] * len(page), gate(), INJECT) == wanted


@pytest.mark.skipif(not HTML5LIB.is_dir(), reason=f"no corpus at {HTML5LIB}")
def test_html5lib_cases() -> None:
    count = 0
    for path in sorted(HTML5LIB.rglob("*.test")):
        for case in json.loads(path.read_text()).get("tests", ()):
            page = case["input"].encode("utf-8", "surrogatepass")
            for before, behind in ((b"", b""), (b"<p>", b"<img src=//evil.example/1><a href=x>")):
                agree(before + page + behind, gates=(QuickGate,), injects=(PLAIN,))
            count += 1
    assert count > 6000


@pytest.mark.parametrize("attack", attacks())
def test_attacks(attack: str) -> None:
    agree(attack.encode())
    agree(b"<head>" + attack.encode(), [9])


@pytest.mark.parametrize("page", ADVERSARIAL, ids=lambda page: repr(page[:20]))
def test_hostile_pages(page: bytes) -> None:
    agree(page[:100_000], [16384] * 6, gates=(QuickGate,), injects=(PLAIN,))


# Written cases

ADDRESSES = [
    *("/a", "/gtm.js", "/x/gtm.js", "/xgtm.js", "/t", "/t/x", "/x?y=/gtm.js", "/x#/t", "#", "?", "t", "x/t", "./t"),
    *("../a/b", "a;b", "/%67tm.js", "/a%20b", "//t", "//t/t", "/.", "/.."),
    "",
    " /a",
    "data:image/gif;base64,R0lG",
    "DATA:x",
    "http://open.example/x",
    "https://open.example",
    "https://open.example:8080/",
    "//open.example?x",
    "//OPEN.example/",
    "//evil.example/x",
    "https://www.site.example/a",
    "https://www.site.example/gtm.js",
    "https://www.example.org/a",
    "//example.org/a/t",
    "https:open.example",
    "https:///open.example/",
    "\\\\evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "//open.example\\@evil.example/",
    "//open.example@evil.example/",
    "&#47;/evil.example/",
    "javascript:1",
    "a:b",
    "é",
]
SETS = [
    "{} 1x",
    "{} 1x, {} 2x",
    "/a 1x,{} 2x",
    "/a (,{}) 2x, {}",
    "/a (,{}) 2x, /b",
    "/a {}, /b",
    "{},{}",
    ",,{}, ,",
    "/a&comma; {}",
    "/a?b&amp;c 1x, {} 2x",
    "\n {}\t100w",
]
TAGS = [
    '<img src="{}">',
    "<img alt=x src='{}' width=1 />",
    "<img src={}>",
    "<IMG SRC={} SRC=/b>",
    '<img data-src="{}" src="data:,x">',
    '<img src="{}" data-vestibule-x>',
    '<source src="{}">',
    '<script src="{}"></script>',
    '<script src="{}">alert("<!--<script></script>")</script>--></script>',
    '<script type=module src="{}" async></script>',
    '<link rel=stylesheet href="{}">',
    '<link href="{}" rel="preconnect">',
    '<link rel=canonical href="{}" data-vestibule-href>',
    '<link rel=x rel=stylesheet href="{}">',
    '<form action="{}">',
    '<input src="{}" type=image>',
    '<button formaction="{}">',
    '<td background="{}">',
    '<iframe src="{}"></iframe>',
    '<video poster="{}" src="{}">',
    '<object data="{}">',
    '<a href="{}" ping="{}">',
    '<svg><use href="{}"/><path d=M0></svg>',
    '<svg><g><use xlink:href="{}"></use></g></svg>',
    '<noscript><img src="{}"></noscript>',
    '<noscript><p title="</noscript>"><img src="{}"></noscript>',
    '<base href="{}"><img src="/a">',
    '<meta http-equiv=refresh content="0;url={}">',
]


@pytest.mark.parametrize("tag", TAGS)
def test_addresses(tag: str) -> None:
    for address in ADDRESSES:
        page = tag.replace("{}", address).encode()
        # The second time what the first came to is known.
        agree(b"<body>" + page * 2 + b"<p>")
        agree(b"<head>" + page * 2, [8], injects=(INJECT,))


@pytest.mark.parametrize("candidates", SETS)
def test_candidates(candidates: str) -> None:
    for address in ADDRESSES:
        agree(f"<img srcset='{candidates.replace('{}', address)}' src=x>".encode() * 2, injects=(PLAIN,))


MORE = [
    b"<meta charset=utf-8><meta http-equiv=X-UA-Compatible content='IE=edge'><meta name=x content=2022>",
    b"<meta charset=iso-2022-jp><meta charset=iso-&#50;022-jp>",
    b"<meta http-equiv='Content-Type' content='text/html; charset=ISO-2022-JP'>",
    b"<meta http-equiv=content-type content='text/html; charset=&#105;so-2022-jp' data-vestibule>",
    b"<meta http-equiv=Set-Cookie content=x><meta data-vestibule-x http-equiv=expires content=0>",
    b"<title></title ><style>a{}</STYLE\n><textarea><img src=//evil.example/></textarea>",
    b"<title>a</titlex><img src=//evil.example/></title><img src=//evil.example/>",
    b"<script><!--><script></script><img src=//evil.example/>--></script><img src=//evil.example/>",
    b"<script><!--<script></script><img src=//evil.example/></script><img src=//evil.example/>",
    b"<script><!--<scripts></script><img src=//evil.example/><script></scripts><img src=//evil.example/></script>",
    b"<svg><title><img src=//evil.example/></title></svg>",
    b"<svg><style><img src=//evil.example/></style></svg>",
    b"<svg><g><path/></svg></g><img src=//evil.example/>",
    b"<svg/><style><img src=//evil.example/></style>",
    b"<svg><path data-vestibule-x><use data-vestibule-y href='#a'><lineargradient href=//evil.example/></svg>",
    b"<svg><a><g><g><path></g></path></g><use href=#x></use></a><rect></svg>",
    b"<svg><desc><svg><path></svg></desc><path/></svg><p>",
    b"<select><svg><style></select><img src=//evil.example/>",
    b"<select><title></select><img src=//evil.example/></title>",
    b"<td data-vestibule-x><td data-vestibule-src=x background=/a><td data-vestibule>",
    b"<a " + b"data-vestibule-x " * 30 + b"><img " + b"data-vestibule-x " * 30 + b">",
    b"<script>gtm.start</script><script type=text/javascript data-vestibule-x>1</script>",
    b"<script language=vb>gtm.start</script><script language=javascript>gtm.start</script>",
    b"<script type=application/json>gtm.start</script>" * 2,
    b"<script type='text/javascript'>gtm.start</script>" * 2,
    b'<script type="speculationrules">{"prefetch": [{"urls": ["//evil.example/"]}]}</script>' * 2,
    b"<script src=/a attributionsrc=//evil.example/></script><script href=//evil.example/>1</script>",
    b"<noscript><link rel=preconnect href=//evil.example/></noscript><noscript><style></noscript>",
    b"<noscript><!-- </noscript> --><img src=//evil.example/>",
    b"<noscript><select></noscript><noscript></body></noscript>",
    b"<!-><img src=//evil.example/1><!--><img src=//evil.example/2><!--->3<!--x--!><img src=//evil.example/4>",
    b"</><img src=//evil.example/1></ x><?y><!doctype><![CDATA[><img src=//evil.example/2>]]>",
    b"<img/src=/a/b><img\fsrc\f=\f/a\f><img =src=//evil.example/><img src=//evil.example//><img src=/a/>",
    b"<template><head><body><img src=//evil.example/></template><html manifest=/a><html manifest=//evil.example/>",
]


LONG = [
    b"<img " + b"x=y " * 17_000 + b"src=//evil.example/>",
    b"<p " + b"x=y " * 17_000 + b"><img src=//evil.example/>",
    b"<script>" + b"x" * (LIMIT + 1) + b"gtm.start</script><img src=//evil.example/>",
    b"<noscript>" + b"x" * (LIMIT + 1) + b"<img src=//evil.example/></noscript><img src=//evil.example/>",
    b"<style>" + b"x" * (LIMIT + 1) + b"</style><img src=//evil.example/>",
    b"".join(b"<img src=//e%d.example/>" % number for number in range(5000)) + b"<noscript><iframe src=//f.example/>",
]


@pytest.mark.parametrize("page", MORE, ids=lambda page: repr(page[:40]))
def test_more(page: bytes) -> None:
    agree(page)
    agree(b"<head>" + page + b"<p>")
    agree(b"<head>" + page[:4000] + b"<p>", [1] * len(page[:4000]))


@pytest.mark.parametrize("page", LONG, ids=lambda page: repr(page[:20]))
def test_what_is_long(page: bytes) -> None:
    agree(page, gates=(QuickGate,), injects=(PLAIN,))
    agree(page, [30_000], gates=(QuickGate,), injects=(PLAIN,))


@pytest.mark.parametrize("kind", [Rewriter, Pure])
@pytest.mark.parametrize(
    "tag", [b"<img " + b"a=1 " * 16_000, b"<p " + b"a='1' " * 10_000, b"<" + b"a" * 60_000, b"<p a" + b" " * 60_000]
)
def test_a_tag_that_comes_slowly_is_read_once(
    kind: type[Rewriter], tag: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def counted(self: Rewriter, buffer: bytes, position: int, real: Any = kind._next_tag) -> Any:
        nonlocal tried
        tried += 1
        return real(self, buffer, position)

    monkeypatch.setattr(Rewriter, "_next_tag", counted)
    rewriter = kind(PAGE, QuickGate())
    for at in range(len(tag)):
        assert rewriter.feed(tag[at : at + 1]) == b""
    assert tried < 10


# Generated pages

pieces = st.sampled_from([tag.replace("{}", address) for tag in TAGS for address in ADDRESSES[::5]])
soup = st.lists(markup | pieces, max_size=6).map("".join)


@settings(
    max_examples=int(os.environ.get("VESTIBULE_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(soup, st.lists(st.integers(1, 30), max_size=20))
def test_generated_markup(page: str, cuts: list[int]) -> None:
    agree(page.encode(), gates=(RelayGate, QuickGate))
    agree(page.encode(), cuts, gates=(RelayGate,))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*b"<>/!-?=\"'& \tax\0", *b"imgsrcvt"]), max_size=60).map(bytes))
@example(b"<!--")
def test_generated_bytes(page: bytes) -> None:
    agree(page, gates=(QuickGate,))
    agree(b"<script>" + page, gates=(QuickGate,), injects=(PLAIN,))


# The scanner by itself


class Known:
    """What the scanner is told of a page."""

    def __init__(self, images: dict[bytes, object] | None = None, inline: object = None) -> None:
        self.origins: dict[str, dict[bytes | None, object]] = {kind: {b"": None, b"/": None} for kind in elements.KINDS}
        for origin, known in (images or {}).items():
            self.origins["image"][origin] = known
        self.addresses: dict[str, dict[bytes, object]] = {kind: {} for kind in elements.KINDS}
        self.links: dict[bytes, str | None] = {b"x": None, b"style": "style", b"hint": "hint"}
        self.types: dict[bytes, str] = {}
        self.asked: list[tuple[bytes, object]] = []
        self.scripts: list[bytes] = []
        self.listed: list[object] = []
        self.out: list[bytes] = []
        self._inline = inline

    def learn(self, key: bytes, table: object) -> None:
        self.asked.append((key, table))

    def script(self, text: bytes) -> object:
        self.scripts.append(text)
        return self._inline

    def scan(self, page: bytes, position: int = 0, where: int = 0, copied: int = 0) -> Any:
        assert SCANNER is not None
        known = (
            self.origins,
            self.addresses,
            self.links,
            self.types,
            {b"hint": True, b"style": False},
            self.learn,
            self.script,
        )
        return SCANNER.scan(page, position, copied, where, 0, (*known, self.listed, self.out))  # type: ignore[arg-type]


def stop(page: bytes, position: int = 0, where: int = 0) -> int:
    stopped, copied, within, tag = Known().scan(page, position, where)
    assert (copied, within, tag) == (0, 0, None)
    return int(stopped)


HELD = ("why", b" mark")


def known_item(page: bytes, name: bytes) -> tuple[int, bytes, bytes, int]:
    """An attribute without quotes that stands last in its tag."""
    start = page.index(name + b"=")
    value = start + len(name) + 1
    return start, name, page[value : page.index(b">", value)], value


def test_it_disarms_what_is_held_back() -> None:
    page = b"<p>x<img src=/a><a href=//b.example/>y</a><IMG alt Src='//c.example/d' srcset='//c.example 2x'>z"
    known = Known({b"//c.example": HELD})
    assert known.scan(page) == (len(page), page.index(b"srcset"), 0, None)
    cut = page.index(b"<IMG") + 4
    assert b"".join(known.out) == (page[:cut] + b" mark alt data-vestibule-Src='//c.example/d' data-vestibule-")
    assert known.listed == ["why", "why"]


def test_it_hands_over_what_is_odd() -> None:
    page = b"<p>x<IMG alt Src='//c.example/d'>z"
    start, name_end, over = page.index(b"<IMG"), page.index(b" alt"), page.index(b"z")
    item = (page.index(b"Src"), b"Src", b"//c.example/d", page.index(b"//c."), None)
    for odd in (False, True, "x"):
        tag = (scanner.Verdict.ODD, start, name_end, over, over, b"img", (item,))
        assert Known({b"//c.example": odd}).scan(page) == (0, 0, 0, tag)
    assert stop(page, over) == len(page)


def test_it_hands_over_frames_and_unfinished_scripts_that_are_held() -> None:
    for page, on in ((b"<iframe src=//c.example></iframe>", 24), (b"<script src=//c.example>", -1)):
        known = Known()
        known.origins["frame"][b"//c.example"] = known.origins["script"][b"//c.example"] = HELD
        *_, tag = known.scan(page)
        assert (tag[0], tag[4], tag[6][0][4]) == (scanner.Verdict.HELD, on, HELD)
        assert (known.out, known.listed) == ([], [])


def test_it_drops_links_that_only_hint() -> None:
    page = b"a<link rel=hint href=//c.example/>b<link rel=style href=//c.example/>"
    known = Known()
    known.origins["hint"][b"//c.example"] = known.origins["style"][b"//c.example"] = HELD
    assert known.scan(page) == (len(page), page.rindex(b"href"), 0, None)
    assert b"".join(known.out) == b"ab<link mark rel=style data-vestibule-"
    assert (known.asked, known.listed) == ([], ["why", "why"])


def test_it_asks_what_it_does_not_know() -> None:
    for page, question in (
        (b"<p><img src=//c.example/>", (b"//c.example", "image")),
        (b"<p><link rel=y href=/a>", (b"y", None)),
        (b"<p><script type=y>z</script>", (b"y", b"type")),
        (b"<g><use href=//c.example/></g>", (b"//c.example", "image")),
    ):
        known = Known()
        stopped, *_, tag = known.scan(page, 0, scanner.Where.DRAWING if page[1:2] == b"g" else 0)
        assert known.asked[0] == question
        assert known.asked[1:] == ([(b"//c.example/", ("image",))] if b"img" in page else [])
        assert stopped == (0 if tag or page[1:2] == b"g" else 3)


def test_it_goes_on_with_the_answer() -> None:
    page = b"<img src=//c.example/><img src=//c.example/b>"
    known = Known()
    known.learn = lambda key, table: known.origins["image"].__setitem__(key, None)  # type: ignore[method-assign]
    assert known.scan(page) == (len(page), 0, 0, None)


def test_it_asks_for_whole_addresses_where_origins_do_not_tell() -> None:
    page = b"<img src=//c.example/a><img src=//c.example/b><img src=HTTPS:c><img srcset=//c.example/b><p>"
    known = Known({b"//c.example": False})
    known.addresses["image"] |= {b"//c.example/a": None, b"//c.example/b": HELD, b"HTTPS:c": False}
    stopped, copied, _, tag = known.scan(page)
    assert (stopped, copied, tag[1]) == (0, page.index(b"src=//c.example/b"), page.index(b"<img src=HTTPS"))
    assert (known.asked, known.listed) == ([], ["why"])
    assert known.scan(page, tag[2] + 12, 0, copied)[3][5:] == (b"img", ((*known_item(page, b"srcset"), None),))
    # A link's address may mean nothing at all ("#"), and long ones are not remembered.
    for page in (b"<link rel=style href=//c.example/a>", b"<img src=//c.example/%b>" % (b"x" * 2048)):
        known = Known({b"//c.example": False})
        known.origins["style"][b"//c.example"] = False
        assert known.scan(page)[3] is not None
        assert known.asked == []


def test_it_has_inline_scripts_judged() -> None:
    page = b"<script>1<!--<script></script>--></script><script type=y>2</script>"
    known = Known()
    known.types[b"y"] = "script"
    assert known.scan(page) == (len(page), 0, 0, None)
    assert known.scripts == [b"1<!--<script></script>-->", b"2"]
    known = Known(inline=HELD)
    known.types[b"y"] = "script"
    assert known.scan(page) == (len(page), page.index(b"type"), 0, None)
    assert b"".join(known.out) == (
        b'<script type="text/plain" mark>1<!--<script></script>--></script><script type="text/plain" mark '
        b"data-vestibule-"
    )


def test_it_lists_no_more_than_a_thousand() -> None:
    known = Known({b"//c.example": HELD})
    known.scan(b"<img src=//c.example>" * (judge.MOST_HELD + 2))
    assert len(known.listed) == judge.MOST_HELD


def test_it_stops_where_a_head_ends() -> None:
    assert stop(b" <meta name=x></style> x", 0, scanner.Where.HEAD) == 23
    assert stop(b"<style>p</style><p>", 0, scanner.Where.HEAD) == 16
    assert stop(b"</head>", 0, scanner.Where.HEAD) == 0


def test_it_stops_in_a_drawing_where_all_is_closed() -> None:
    page = b"<g><path/></g>x<g><rect></g>"
    assert stop(page, 0, scanner.Where.DRAWING) == page.rindex(b"<g>")
    assert stop(b"<g><path></g></path>", 0, scanner.Where.DRAWING) == 0
    assert stop(b"<g>" * 17 + b"</g>" * 17, 0, scanner.Where.DRAWING) == 0
    assert stop(b"<g>" * 16 + b"</g>" * 16, 0, scanner.Where.DRAWING) == 16 * 7


@pytest.mark.parametrize("position", [-1, 4, 1 << 62])
def test_it_reads_nowhere_else(position: int) -> None:
    with pytest.raises(ValueError, match="position"):
        Known().scan(b"abc", position)


def test_it_refuses_what_is_not_meant_for_it() -> None:
    assert SCANNER is not None
    kind: Any = type(SCANNER)
    wrong: tuple[Any, ...]
    rest: tuple[Any, ...] = (frozenset(), b"", b"")
    for wrong in ((), ({}, set(), b"", b""), ({b"x" * 25: (0, 0, 0, 0, ())}, *rest), ({b"x": (1, 2)}, *rest)):
        with pytest.raises((TypeError, ValueError)):
            kind(*wrong)
    with pytest.raises(TypeError):
        kind({b"x": (0, 0, 0, 0, ((b"x", "no", None),))}, *rest)
    anything: Any = SCANNER
    known: tuple[Any, ...] = ({}, {}, {}, {}, {}, None, None, [], [])
    for wrong in (
        (),
        ("x", 0, 0, 0, 0, known),
        (b"x", None, 0, 0, 0, known),
        (b"x", 0, 0, 0, 0, list(known)),
        (b"x", 0, 0, 0, 0, known[:-1]),
        (b"x", 0, 0, 0, 0, (*known[:3], set(), *known[4:])),
        (b"x", 0, 0, 0, 0, (*known[:-1], ())),
    ):
        with pytest.raises(TypeError):
            anything.scan(*wrong)


def test_an_error_on_the_way_is_not_lost() -> None:
    anything: Any = SCANNER
    for page, where in ((b"<img src=/a>", 0), (b"<noscript><img src=/a></noscript>", scanner.Where.HEAD)):
        with pytest.raises(SystemError):
            anything.scan(page, 0, 0, where, 0, ({"image": "no dictionary"}, {}, {}, {}, {}, None, None, [], []))

    def fail(*_: object) -> None:
        raise ArithmeticError

    for page in (b"<img src=/a>", b"<link rel=a href=b>", b"<script type=a>b</script>", b"<script>b</script>"):
        with pytest.raises(ArithmeticError):
            anything.scan(page, 0, 0, 0, 0, ({"image": {}}, {}, {}, {}, {}, fail, fail, [], []))
    with pytest.raises(IndexError):
        anything.scan(b"<img src=/a>", 0, 0, 0, 0, ({"image": {b"/": ()}}, {}, {}, {}, {}, fail, fail, [], []))


def test_the_table_covers_every_element_that_is_looked_at() -> None:
    table = scanner.table()
    for name in map(str.encode, elements.ALWAYS):
        role = table[name][0]
        judged = {attribute for attribute, form, _ in table[name][4] if form}
        assert role not in (scanner.Role.IDLE, scanner.Role.SOMETIMES, scanner.Role.SHAPE)
        if role in (scanner.Role.REFERS, scanner.Role.LINK, scanner.Role.SCRIPT):
            assert judged == set(elements.RULES[name])
    for names, triggers in elements.IF_ATTRIBUTE.values():
        for name in map(str.encode, names):
            assert {attribute for attribute, *_ in table[name][4]} >= set(map(str.encode, triggers))
    assert FOREIGN


def test_a_build_from_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "INTERFACE", -1)
    assert compiled.load() is None


def test_paths_that_are_open_unless() -> None:
    open_ = Unless(["gtm", "collect"])
    for reference, passes in {
        b"/a/b?gtm": True,
        b"a/b#/gtm": True,
        b"": True,
        b"/x-gtm": True,
        b"gtm": False,
        b"gtm.js": False,
        b"/a/collect": False,
        b"/a/../gtm/": False,
        b"/a%2fb": False,
        b"/a;b": False,
        b"/a\\b": False,
        "/ä".encode(): False,
    }.items():
        assert open_.passes(reference) is passes, reference
    for words in (["a/b"], [""], ["x" * 256]):
        with pytest.raises(ValueError, match="segments"):
            Unless(words)
