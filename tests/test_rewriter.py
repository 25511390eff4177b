"""The rewriter against real HTML parsers, written cases, attacks and generated pages."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import html5lib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from vestibule.core import urls
from vestibule.core.html import elements
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.gate import BY_URL, Gated
from vestibule.core.html.grammar import Scan
from vestibule.core.html.inject import Inject
from vestibule.core.html.rewriter import Rewriter

PAGES = Path(os.environ.get("VESTIBULE_CORPUS", "../shared/corpus")) / "pages"
CASES = Path(__file__).parent / "cases" / "rewrite"
PAGE = "https://www.site.example/shop/page.html"
FOREIGN = "evil.example"


class Gate:
    """Holds back every foreign host, and inline scripts that name a tracker."""

    def url(self, url: str, kind: str) -> Gated | None:
        parsed = urls.parse(url)
        assert parsed is not None
        assert str(parsed) == url
        host = parsed.target.host
        return None if not host or host == "www.site.example" else Gated(f"unknown:{host}", host, "marketing")

    def inline(self, text: bytes) -> Gated | None:
        return Gated("tag-manager", "Tag Manager", "statistics") if b"gtm.start" in text else None


class QuickGate(Gate):
    """Says the same by origins."""

    def origin(self, origin: str, kind: str) -> Any:
        return BY_URL if origin.endswith(".by-url.example") else self.url(origin + "/", kind)


class OpenGate:
    """Holds nothing back."""

    def url(self, url: str, kind: str) -> None:
        return None

    def inline(self, text: bytes) -> None:
        return None


NO_INJECTION = Inject()


def rewrite(
    page: bytes, pieces: Iterable[int] = (), inject: Inject = NO_INJECTION, gate: Any = None, **options: Any
) -> bytes:
    rewriter = Rewriter(PAGE, gate or QuickGate(), inject, **options)
    position, out = 0, []
    for size in pieces:
        out.append(rewriter.feed(page[position : position + size]))
        position += size
    out.append(rewriter.feed(page[position:]))
    out.append(rewriter.close())
    return b"".join(out)


# Readers


@dataclass
class Node:
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    parent: str = ""


def read_html5lib(page: bytes, scripting: bool) -> list[Node]:
    """The elements, comments and texts of a page in document order, as html5lib reads it."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=True)
    tree = parser.parse(page.decode("utf-8", "replace"), scripting=scripting)
    nodes: list[Node] = []
    stack: list[tuple[Any, str]] = [(tree, "")]
    while stack:
        element, parent = stack.pop()
        if isinstance(element, str):
            nodes.append(Node("#text", text=element, parent=parent))
            continue
        if not isinstance(element.tag, str):
            nodes.append(Node("#comment", text=element.text or ""))
            if element.tail:
                nodes.append(Node("#text", text=element.tail, parent=parent))
            continue
        namespace, _, name = element.tag.rpartition("}")
        name = name if "xhtml" in namespace or not namespace else namespace.rpartition("/")[2] + " " + name
        values = {
            "xlink:href" if key.startswith("{http://www.w3.org/1999/xlink}") else key.rpartition("}")[2]: value
            for key, value in element.attrib.items()
        }
        nodes.append(Node(name, values, parent=parent))
        if element.tail:
            stack.append((element.tail, parent))
        stack.extend((child, name) for child in reversed(list(element)))
        if element.text:
            stack.append((element.text, name))
    return merged(nodes)


def read_lexbor(page: bytes) -> list[Node]:
    """Likewise as lexbor reads it (scripts off)."""
    nodes: list[Node] = []
    root = LexborHTMLParser(page).root
    assert root is not None
    stack = [(root, "")]
    while stack:
        node, parent = stack.pop()
        tag = str(node.tag)
        if tag == "-text":
            nodes.append(Node("#text", text=node.text_content or "", parent=parent))
        elif tag == "-comment":
            nodes.append(Node("#comment"))
        elif not tag.startswith("-"):
            nodes.append(Node(tag, {key: value or "" for key, value in node.attributes.items()}, parent=parent))
        stack.extend((child, tag) for child in reversed(list(node.iter(include_text=True))))
    return merged(nodes)


def merged(nodes: list[Node]) -> list[Node]:
    """Neighbouring texts as one: what stood between them may have gone."""
    out: list[Node] = []
    for node in nodes:
        if node.name == "#text" and out and out[-1].name == "#text" and out[-1].parent == node.parent:
            out[-1].text += node.text
        else:
            out.append(node)
    return out


READERS: dict[str, Any] = {
    "html5lib, scripts on": lambda page: read_html5lib(page, True),
    "html5lib, scripts off": lambda page: read_html5lib(page, False),
    "lexbor": read_lexbor,
}

# What an element loads, told independently of the product's tables

LOADING = {
    "script": ("src", "href", "xlink:href"),
    "iframe": ("src",),
    "frame": ("src",),
    "img": ("src", "srcset", "lowsrc"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src", "formaction"),
    "button": ("formaction",),
    "form": ("action",),
    "a": ("ping",),
    "area": ("ping",),
    "body": ("background",),
    "table": ("background",),
    "td": ("background",),
    "image": ("href", "xlink:href", "src"),
    "use": ("href", "xlink:href"),
    "feimage": ("href", "xlink:href"),
    "portal": ("src",),
}
HINTS = {"preconnect", "dns-prefetch", "preload", "prefetch", "modulepreload", "prerender"}
LOADING_LINKS = HINTS | {"stylesheet", "icon", "manifest"}


def loads(nodes: list[Node], base: str = PAGE) -> Iterator[tuple[str, str]]:
    """Foreign hosts that the elements of a page contact."""
    for node in nodes:
        if node.name == "base" and "href" in node.attributes:
            base = urls.absolute(node.attributes["href"], PAGE) or PAGE
            break
    for node in nodes:
        name = node.name.rpartition(" ")[2].lower()
        values = {key.lower(): value for key, value in node.attributes.items()}
        # In HTML these names mean nothing; lexbor's tree doesn't tell the namespace.
        drawn = name in ("image", "use", "feimage") and " " not in node.name
        wanted = [values[key] for key in LOADING.get(name, ()) if key in values and not drawn]
        if name == "link" and LOADING_LINKS & set(values.get("rel", "").lower().split()):
            wanted += [values[key] for key in ("href", "imagesrcset") if key in values]
        if name == "meta" and values.get("http-equiv", "").lower() == "refresh":
            wanted.append(re.sub(r"(?i)^[^;,]*[;,]\s*(?:url\s*=\s*)?['\"]?", "", values.get("content", "")))
        if name == "script" and "src" in values and values.get("type", "") == "text/plain":
            wanted = []
        if name == "iframe" and "srcdoc" in values:
            yield from loads(read_html5lib(values["srcdoc"].encode(), False), base)
        for value in wanted:
            for part in [value, *re.split(r"[\s,]+", value)]:
                target = urls.resolve(part, base)
                if target is not None and FOREIGN in target.host:
                    yield name, part


def executes(nodes: list[Node]) -> Counter[tuple[str, str]]:
    """What runs by itself or on an event."""
    found: Counter[tuple[str, str]] = Counter()
    for index, node in enumerate(nodes):
        name = node.name.rpartition(" ")[2].lower()
        kind = node.attributes.get("type", "").strip().lower()
        if name == "script" and kind in ("", "module", "text/javascript", "application/javascript"):
            following = nodes[index + 1] if index + 1 < len(nodes) else None
            text = following.text if following is not None and following.parent == node.name else ""
            if text.strip():
                found["script", text] += 1
        for key, value in node.attributes.items():
            if key.lower().startswith("on"):
                found[key.lower(), value] += 1
            elif value.strip().lower().startswith("javascript:") and not key.lower().startswith("data-"):
                found["javascript", value] += 1
            elif key.lower() == "srcdoc":
                found += executes(read_html5lib(value.encode(), True))
    return found


def restored(nodes: list[Node]) -> list[tuple[str, Any]]:
    """A rewritten page's nodes with what was held back put in its place again; no texts in noscript, no srcdoc."""
    out: list[tuple[str, Any]] = []
    for node in nodes:
        if node.name.startswith("#"):
            if node.name == "#comment" or (node.parent == "noscript" and "<" in node.text):
                continue
            if node.text.strip():
                out.append((node.name, node.text.strip()))
            continue
        values = dict(node.attributes)
        if node.name == "link" and is_hint(values):
            continue
        if "data-vestibule" in values:
            del values["data-vestibule"]
            if node.name == "script" and values.get("type") == "text/plain":
                del values["type"]
        for key in list(values):
            if key.startswith("data-vestibule-"):
                values[key.removeprefix("data-vestibule-")] = values.pop(key)
        values.pop("srcdoc", None)
        out.append((node.name, sorted(values.items())))
    return out


def is_hint(values: dict[str, str]) -> bool:
    rel = values.get("rel", "").lower().split()
    targets = [
        urls.resolve(value.split()[0], PAGE)
        for value in (values.get("href", ""), values.get("imagesrcset", ""))
        if value.split()
    ]
    foreign = any(target is None or target.host != "www.site.example" for target in targets)
    return bool(rel) and set(rel) <= HINTS and foreign


# Written cases


@pytest.mark.parametrize("path", sorted(CASES.glob("*.src.html")), ids=lambda path: path.name.removesuffix(".src.html"))
def test_written_cases(path: Path) -> None:
    source = path.read_bytes()
    wanted = path.with_name(path.name.replace(".src.", ".expected.")).read_bytes()
    inject = Inject(b"[HEAD]", b"[BODY]", b"[FOOT]") if path.name.startswith("inject") else Inject()
    placeholder = (
        (lambda gated, kind, url: f"[{gated.service} {kind} {url}]".encode()) if "placeholder" in path.name else None
    )
    for gate in (Gate(), QuickGate()):
        assert rewrite(source, inject=inject, placeholder=placeholder, gate=gate) == wanted
    assert rewrite(source, [1] * len(source), inject, placeholder=placeholder) == wanted


def test_what_is_written_into_an_attribute_never_ends_a_noscript_around_it() -> None:
    """With scripts on, the first ``</noscript`` counts, be it in an attribute."""
    evil = "&lt;img src=//held.example/&gt;&lt;/noscript&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
    for page in (
        f'<noscript><iframe srcdoc="{evil}"></iframe></noscript>',
        f'<noscript><meta http-equiv=content-security-policy content="{evil}"></noscript>',
    ):
        rewriter = Rewriter(PAGE, Gate(), policy=lambda text: text + ";")
        out = rewriter.feed(page.encode()) + rewriter.close()
        assert out != page.encode()
        assert out.count(b"</noscript") == 1
        assert b"<script" not in out


# Pages


def pages() -> list[Any]:
    paths = sorted(PAGES.glob("*.html")) if PAGES.is_dir() else []
    return [
        pytest.param(path, id=path.stem[:40], marks=[] if n % 8 == 0 else pytest.mark.slow)
        for n, path in enumerate(paths)
    ]


needs_corpus = pytest.mark.skipif(not PAGES.is_dir(), reason=f"no corpus at {PAGES}")


@needs_corpus
@pytest.mark.parametrize("path", pages())
def test_a_page_keeps_its_tree_and_loads_nothing_foreign(path: Path) -> None:
    page = path.read_bytes()
    held = rewrite(page)
    assert rewrite(page, gate=OpenGate()) == page
    for label, read in READERS.items():
        if label != "lexbor" and len(page) > 120_000:
            continue
        before, after = read(page), read(held)
        assert restored(after) == restored(before), label
        foreign = [
            (node.name, key, value)
            for node in after
            for key, value in node.attributes.items()
            if key in LOADING.get(node.name, ()) and node.name not in ("script", "a")
            for target in [urls.resolve(value.split()[0], PAGE) if value.split() else None]
            if target is not None and target.host not in ("", "www.site.example")
        ]
        assert not foreign, label


@needs_corpus
def test_pages_come_out_the_same_however_they_are_cut() -> None:
    generator = random.Random(1)
    inject = Inject(b"[HEAD]", b"[BODY]", b"[FOOT]")
    for path in sorted(PAGES.glob("*.html"))[::4]:
        page = path.read_bytes()
        whole = rewrite(page, inject=inject)
        cuts: list[int] = []
        while sum(cuts) < len(page):
            cuts.append(generator.choice((1, 5, 64, 1000, 16384, 65536)))
        assert rewrite(page, cuts, inject) == whole, path.name
        assert rewrite(page, inject=inject, gate=Gate()) == whole, path.name
        assert rewrite(page[:3000], [1] * 3000, inject) == rewrite(page[:3000], inject=inject), path.name


@needs_corpus
def test_nothing_but_what_is_put_in_changes_a_page_with_nothing_to_hold() -> None:
    for path in sorted(PAGES.glob("*.html")):
        page = path.read_bytes()
        assert rewrite(page, gate=OpenGate()) == page
        out = rewrite(page, gate=OpenGate(), inject=Inject(b"[HEAD]", b"[BODY]", b"[FOOT]"))
        for part in (b"[HEAD]", b"[BODY]", b"[FOOT]"):
            assert out.count(part) == 1, path.name
            out = out.replace(part, b"")
        assert out == page, path.name


# Attacks


def attacks() -> list[str]:
    text = (CASES / "attacks.txt").read_text()
    return [
        line.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0")
        for line in text.splitlines()
        if line and line[:2] != "# "
    ]


def test_there_are_enough_attacks() -> None:
    assert len(attacks()) >= 100


@pytest.mark.parametrize("attack", attacks())
def test_no_attack_loads_or_runs_anything_new(attack: str) -> None:
    check_safe(attack.encode())


def check_safe(page: bytes) -> None:
    held = rewrite(page)
    for label, read in READERS.items():
        after = read(held)
        assert not list(loads(after)), f"{label}: {held!r}"
        if label == "html5lib, scripts on" or (label == "lexbor" and b"noscript" not in page.lower()):
            new = executes(after) - executes(read(page))
            assert not new, f"{label}: {held!r}"
    assert rewrite(page, [1] * len(page)) == held
    assert rewrite(page, gate=Gate()) == held


NAMES = [
    name.decode()
    for name in b"script style textarea title xmp iframe noembed noframes noscript svg math select template frameset "
    b"table p a b div img foreignObject desc mtext mi annotation-xml mglyph option td tr head body html form image use "
    b"plaintext button font".split()
]
ATTRIBUTES = [
    ' src="//evil.example/x"',
    " src=//evil.example/y",
    " SRC='//evil.example/z'",
    ' href="//evil.example/"',
    ' title="</noscript>"',
    ' alt="<!--"',
    " title='-->'",
    ' title="</style><img src=//evil.example/t>"',
    ' title="<script>"',
    " onclick='1'",
    " x=a>b",
    " data-x='>'",
    " type=module",
    " color=red",
    " encoding=text/html",
    " /",
    " =",
    '="',
    "'",
    ' src="/own"',
    " srcset='/a 1x, //evil.example/s 2x'",
    " ping=//evil.example/p",
    " background=//evil.example/b",
    "\n\t",
    ' xlink:href="//evil.example/#u"',
    ' srcdoc="<img src=//evil.example/d>"',
    " data-vestibule-src=x",
    " rel=stylesheet",
]
TEXTS = [
    "text",
    " ",
    "\n",
    "<",
    "</",
    "<!",
    "<!--",
    "-->",
    "--!>",
    "<!-->",
    "<![CDATA[",
    "]]>",
    "<?x",
    ">",
    "&lt;",
    "\0",
    '"',
    "'",
    "</>",
    "<!doctype html>",
]

tags = st.builds(
    lambda open_, name, attributes, end: f"<{open_}{name}{''.join(attributes)}{end}",
    st.sampled_from(["", "", "/"]),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(ATTRIBUTES), max_size=3),
    st.sampled_from([">", ">", ">", "/>", ""]),
)
markup = st.lists(tags | st.sampled_from(TEXTS), max_size=14).map("".join)


@settings(
    max_examples=int(os.environ.get("VESTIBULE_EXAMPLES", "400")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(markup)
def test_generated_markup_is_safe_to_every_reader(page: str) -> None:
    check_safe(page.encode())


@settings(max_examples=200, deadline=None)
@given(markup, st.lists(st.integers(1, 9), max_size=40))
def test_generated_markup_comes_out_the_same_however_it_is_cut(page: str, cuts: list[int]) -> None:
    inject = Inject(b"[HEAD]", b"[BODY]", b"[FOOT]")
    assert rewrite(page.encode(), cuts, inject) == rewrite(page.encode(), inject=inject)
    assert rewrite(page.encode(), cuts, gate=OpenGate()) == rewrite(page.encode(), gate=OpenGate())


@settings(max_examples=500, deadline=None)
@given(markup)
def test_looking_for_candidates_finds_what_reading_tag_after_tag_finds(page: str) -> None:
    scan = Scan(elements.ALWAYS, ("body", "select", "template"), elements.IF_ATTRIBUTE)
    data = page.encode()
    fast, start = scan(data, 0)
    exact = scan._exact.match(data, 0)
    assert exact is not None
    if fast is None:
        assert exact[2] is None
        assert start == exact.end()
    else:
        assert fast.groups() == exact.groups()
        assert fast.span(3) == exact.span(3)


# Bounds


ADVERSARIAL = [
    b"<" * 1_000_000,
    b"<a " * 300_000,
    b"<a x=1 " + b"y=2 " * 250_000 + b">",
    b"<!--" * 250_000,
    b"<script>" + b"<!--<script>" * 80_000,
    b"<script>" * 120_000,
    b"<svg>" * 200_000,
    b"<svg><desc>" * 90_000,
    b"<noscript>" * 100_000,
    b'<img src="' * 100_000,
    b"<template>" * 100_000,
    b"<svg></p></div>" * 60_000,
]


@pytest.mark.parametrize("page", ADVERSARIAL, ids=lambda page: repr(page[:20]))
def test_hostile_input_is_read_in_bounded_memory(page: bytes) -> None:
    rewriter = Rewriter(PAGE, QuickGate())
    for at in range(0, len(page), 16384):
        rewriter.feed(page[at : at + 16384])
        assert len(rewriter._buffer) + rewriter._waiting_size <= 3 * LIMIT
    rewriter.close()


class Closer(Rewriter):
    """Reads every tag closely: what is settled at a glance must come out as this says."""

    def _glance(self) -> None:
        return


@settings(max_examples=300, deadline=None)
@given(markup, st.lists(st.integers(1, 9), max_size=20))
def test_what_is_settled_at_a_glance_is_settled_as_by_a_close_look(page: str, cuts: list[int]) -> None:
    for gate in (QuickGate(), OpenGate()):
        close = Closer(PAGE, gate, Inject(b"[HEAD]"))
        assert rewrite(page.encode(), cuts, Inject(b"[HEAD]"), gate) == close.feed(page.encode()) + close.close()


# -- the page's own language, and places for the declaration ----------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "language"),
    [
        (b"<!doctype html><html lang=de><p>x", b"de"),
        (b'<html class=a LANG=" pt-BR "><head></head><body>x', b"pt-br"),
        (b"<html lang=de lang=fr><p>x", b"de"),
        (b"<html><p lang=de>x", b""),
        (b"<p>x", b""),
        (b"", b""),
        (b"<html lang='" + b"x" * 99 + b"'><p>x", b"x" * 35),
    ],
)
def test_markup_is_put_in_in_the_language_of_the_page(page: bytes, language: bytes) -> None:
    inject = Inject(
        b"[HEAD]", lambda said: b"[BODY " + said.encode() + b"]", lambda said: b"[FOOT " + said.encode() + b"]"
    )
    for pieces in ((), (1,) * len(page)):
        out = rewrite(page, pieces, inject)
        assert b"[BODY " + language + b"]" in out
        assert out.endswith(b"[FOOT " + language + b"]")


DECLARED = Inject(b"[HEAD]", b"[BODY]", b"[FOOT]", lambda said: b"[TABLE " + said.encode() + b"]")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<div data-vestibule-declaration>x</div>", "<div data-vestibule-declaration>[TABLE ]x</div>"),
        ("<DIV id=a data-vestibule='declaration' >x</DIV>", "<DIV id=a data-vestibule='declaration' >[TABLE ]x</DIV>"),
        (
            "<p>x<vestibule-declaration></vestibule-declaration>",
            "<vestibule-declaration>[TABLE ]</vestibule-declaration>",
        ),
        ("<section data-vestibule-declaration=''>", "<section data-vestibule-declaration=''>[TABLE ]"),
        ("<!--<div data-vestibule-declaration>-->", None),
        ("<script>'<div data-vestibule-declaration>'</script>", None),
        ("<style>/*<div data-vestibule-declaration>*/</style>", None),
        ("<textarea><div data-vestibule-declaration></textarea>", None),
        ("<p title='<div data-vestibule-declaration>'>", None),
        ("<svg><desc><div data-vestibule-declaration></svg>", None),
        ("<template><div data-vestibule-declaration></template>", None),
        ("<p>vestibule-declaration", None),
        ("<a data-vestibule-declaration>", None),
    ],
)
def test_a_place_for_the_declaration_is_filled_wherever_it_is_one(page: str, expected: str | None) -> None:
    head = "<!doctype html><html><head><title>x</title></head><body><p>" + "x" * 100
    whole = (head + page + "<img src=https://tracker.example/x.gif>").encode()
    out = rewrite(whole, (), DECLARED)
    assert all(rewrite(whole, (cut,), DECLARED) == out for cut in range(len(head), len(whole)))
    assert rewrite(whole, (1,) * len(whole), DECLARED) == out
    assert (expected is None and b"[TABLE" not in out) or (expected or "").encode() in out
    assert rewrite(whole, (), Inject(b"[HEAD]", b"[BODY]", b"[FOOT]")) == out.replace(b"[TABLE ]", b"")


@pytest.mark.parametrize("unit", [b"<noscript>", b"<noscript><p>", b"<svg><noscript>"])
def test_however_deep_noscripts_lie_in_each_other(unit: bytes) -> None:
    page = b"<body>" + unit * 500 + b"<img src=https://tracker.example/x.gif>" + b"</noscript>" * 500
    for pieces in ((), (4096,) * 8):
        out = rewrite(page, pieces)
        assert b" src=https://tracker.example" not in out
        assert b"data-vestibule-src=https://tracker.example" in out


def test_many_origins_in_one_drawing_or_list_are_all_judged() -> None:
    uses = b"".join(b"<use href='https://h%d.tracker.example/i.svg'/>" % number for number in range(300))
    images = b", ".join(b"https://h%d.tracker.example/i.png %dw" % (number, number + 1) for number in range(300))
    for gate in (QuickGate(), OpenGate()):
        out = rewrite(b"<body><svg>" + uses + b"</svg><img srcset='" + images + b"'>", gate=gate)
        open_ = isinstance(gate, OpenGate)
        assert out.count(b" href='https://h") == (300 if open_ else 0)
        assert (b" srcset='https://h0" in out) is open_
