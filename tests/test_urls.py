"""References as browsers resolve them: whom they contact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.urls import Target, absolute, parse, resolve

BASE = "https://www.site.example/shop/page.html?q=1#top"

# Each reference, and the absolute URL that it means; None where browsers refuse it.
CASES: list[tuple[str, str | None]] = [
    ("", "https://www.site.example/shop/page.html?q=1"),
    ("#x", "https://www.site.example/shop/page.html?q=1"),
    ("?z", "https://www.site.example/shop/page.html?z"),
    ("a.js", "https://www.site.example/shop/a.js"),
    ("./a.js", "https://www.site.example/shop/a.js"),
    ("../../../a.js", "https://www.site.example/a.js"),
    ("%2e%2E/a.js", "https://www.site.example/a.js"),
    ("/a/./b/../c/.", "https://www.site.example/a/c/"),
    ("\\a\\b", "https://www.site.example/a/b"),
    ("a b?c d", "https://www.site.example/shop/a%20b?c%20d"),
    ("/grün", "https://www.site.example/gr%C3%BCn"),
    ("//x.example", "https://x.example/"),
    ("//X.EXAMPLE/Path", "https://x.example/Path"),
    ("\\\\x.example/p", "https://x.example/p"),
    ("/\\x.example/p", "https://x.example/p"),
    ("\\/x.example/p", "https://x.example/p"),
    ("////x.example/p", "https://x.example/p"),
    (" \t\n//x.example\x00", "https://x.example/"),
    ("/\t/x.exa\nmple/p", "https://x.example/p"),
    ("ht\ntps://x.example/", "https://x.example/"),
    ("HTTPS://x.example/", "https://x.example/"),
    ("https:x", "https://www.site.example/shop/x"),
    ("https:/x", "https://www.site.example/x"),
    ("https://x.example", "https://x.example/"),
    ("https:///x.example", "https://x.example/"),
    ("https:\\\\x.example", "https://x.example/"),
    ("http:x.example", "http://x.example/"),
    ("http:/x.example", "http://x.example/"),
    ("http:\\x.example", "http://x.example/"),
    ("wss://x.example/s", "wss://x.example/s"),
    ("ftp:x.example", "ftp://x.example/"),
    ("//user@x.example/", "https://x.example/"),
    ("//user:pass@x.example:8443/", "https://x.example:8443/"),
    ("//www.site.example@x.example/", "https://x.example/"),
    ("//www.site.example:443@x.example/", "https://x.example/"),
    ("//www.site.example%40x.example/", None),
    ("//a@b@x.example/", "https://x.example/"),
    ("//x.example\\@www.site.example/", "https://x.example/@www.site.example/"),
    ("//x.example?@www.site.example/", "https://x.example/?@www.site.example/"),
    ("//x.example#@www.site.example/", "https://x.example/"),
    ("//x.example:443/", "https://x.example/"),
    ("//x.example:0443/", "https://x.example/"),
    ("//x.example:80/", "https://x.example:80/"),
    ("//x.example:/", "https://x.example/"),
    ("//x.example:65536/", None),
    ("//x.example:8a/", None),
    ("//x.example./", "https://x.example/"),
    ("//x.example../", None),
    ("//80。.", None),
    ("//..", None),
    ("//x%2eexample/", "https://x.example/"),
    ("//x%41\udcff.example/", None),
    ("//x%41\ud800.example/", None),
    ("//x\udcff.example/", None),
    ("//%78.example/", "https://x.example/"),
    ("//x.example%00/", None),
    ("//x .example/", None),
    ("//x<.example/", None),
    ("//", None),
    ("https://", None),
    ("http://:80/", None),
    ("//bücher.example/", "https://xn--bcher-kva.example/"),
    ("//b%C3%BCcher.example/", "https://xn--bcher-kva.example/"),
    ("//xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("//faß.example/", "https://xn--fa-hia.example/"),
    ("//ＸＹＺ．example/", "https://xyz.example/"),
    ("//x。example/", "https://x.example/"),
    ("//x\u00ad.example/", "https://x.example/"),
    ("//\u212aelvin.example/", "https://kelvin.example/"),
    ("//i❤.example/", "https://xn--i-7iq.example/"),
    ("//127.0.0.1/", "https://127.0.0.1/"),
    ("//2130706433/", "https://127.0.0.1/"),
    ("//0x7f000001/", "https://127.0.0.1/"),
    ("//0177.0.0.1/", "https://127.0.0.1/"),
    ("//127.1/", "https://127.0.0.1/"),
    ("//0x7f.0.0x.1./", "https://127.0.0.1/"),
    ("//１２７.0.0.1/", "https://127.0.0.1/"),
    ("//127.0.0.256/", None),
    ("//1.2.3.4.5/", None),
    ("//x.example.1/", None),
    ("//09/", None),
    ("//[::1]/", "https://[::1]/"),
    ("//[0:0:0:0:0:0:0:1]:8080/", "https://[::1]:8080/"),
    ("//[2001:DB8::0:1]/", "https://[2001:db8::1]/"),
    ("//[1:0:0:2:0:0:0:3]/", "https://[1:0:0:2::3]/"),
    ("//[::ffff:1.2.3.4]/", "https://[::ffff:102:304]/"),
    ("//[::1%25eth0]/", None),
    ("//[1::2::3]/", None),
    ("//[1:2]/", None),
    ("data:text/html,<b>", "data:text/html,<b>"),
    ("DATA:,x#y", "data:,x"),
    ("blob:https://x.example/1", "blob:https://x.example/1"),
    ("javascript:alert(1)", "javascript:alert(1)"),
    ("java\nscript:alert(1)", "javascript:alert(1)"),
    ("about:blank", "about:blank"),
    ("mailto:a@x.example", "mailto:a@x.example"),
    ("1https://x.example", "https://www.site.example/shop/1https://x.example"),
    ("x_y:z", "https://www.site.example/shop/x_y:z"),
]


@pytest.mark.parametrize(("reference", "wanted"), CASES)
def test_references(reference: str, wanted: str | None) -> None:
    assert absolute(reference, BASE) == wanted
    url = parse(wanted) if wanted is not None else None
    assert resolve(reference, BASE) == (None if url is None else url.target)


def test_a_target_names_whom_it_contacts() -> None:
    assert resolve("//u:p@CDN.example.:8443/a/../b?c#d", BASE) == Target("https", "cdn.example", 8443, "/b")
    assert resolve("data:text/html,x", BASE) == Target("data", "", None, "text/html,x")


@pytest.mark.parametrize("base", ["data:text/html,x", "about:srcdoc", "javascript:1"])
def test_nothing_but_fragments_resolves_against_what_has_no_path(base: str) -> None:
    assert resolve("a.js", base) is None
    assert resolve("//x.example/", base) is None
    assert absolute("https://x.example/", base) == "https://x.example/"


@given(st.text(alphabet="/\\:?#@.%[] \tabxn-0179é。\udcff", max_size=24))
def test_an_absolute_url_means_itself(reference: str) -> None:
    url = absolute(reference, BASE)
    if url is not None and url.startswith("http"):
        assert absolute(url, BASE) == url
        assert absolute(url, "https://other.example/") == url


@given(st.text(max_size=40) | st.text(alphabet="%4a\udcff\ud800é", max_size=12))
def test_any_text_is_answered(reference: str) -> None:
    absolute(reference, BASE)
    absolute("//" + reference, BASE)
