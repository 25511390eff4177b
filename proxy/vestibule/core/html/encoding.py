"""Which encoding browsers read a page in (Encoding Standard; HTML Standard, section 13.2.3), and making it one we can.

The tokenizer reads bytes and needs that bytes of ASCII mean ASCII. This guards it against pages that a browser would
read otherwise:

- In UTF-16 and ISO-2022-JP they do not. Pages in these become UTF-8 (`Transcoder`), and their header says so, which
  goes before whatever the page declares of itself.
- In Shift_JIS, GBK, gb18030 and Big5 the second byte of a character may be one of ``@`` to ``~`` (in gb18030 a digit,
  too). None of these begins or ends a tag, an attribute, a comment or raw text, and names that hold such a character
  are nobody's names in either reading; a second byte that makes no character is read as itself. But ``]`` may belong
  to a ``]]>`` that ends a CDATA section: there a space parts the two (`Clarifier`).
- Where nothing is declared, browsers guess. No guess is made here, since what we declared in its place would break
  pages that declare themselves further down. What browsers guess is one of the encodings above or another in which
  ASCII is ASCII, but might be ISO-2022-JP: that needs escape characters, so these are taken out (`Clarifier`), and
  hosts of other letters than ASCII are nobody's, since nobody knows which letters they are (`codec`).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

from vestibule.core.html import iso2022jp
from vestibule.core.html.grammar import compile_bytes

PRESCAN = 1024
"""How many first bytes of a page `detect` looks at."""

_LABELS = """
utf-8: unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
ibm866: 866 cp866 csibm866
iso-8859-2: csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
iso-8859-3: csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
iso-8859-4: csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
iso-8859-5: csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
iso-8859-6: arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso-8859-7: csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek
iso-8859-8: csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical
iso-8859-10: csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso-8859-13: iso8859-13 iso885913
iso-8859-14: iso8859-14 iso885914
iso-8859-15: csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
iso-8859-16:
koi8-r: cskoi8r koi koi8 koi8_r
koi8-u: koi8-ru
macintosh: csmacintosh mac x-mac-roman
windows-874: dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250: cp1250 x-cp1250
windows-1251: cp1251 x-cp1251
windows-1252: ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252 x-user-defined
windows-1253: cp1253 x-cp1253
windows-1254: cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 x-cp1254
windows-1255: cp1255 x-cp1255
windows-1256: cp1256 x-cp1256
windows-1257: cp1257 x-cp1257
windows-1258: cp1258 x-cp1258
x-mac-cyrillic: x-mac-ukrainian
gbk: chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
gb18030:
big5: big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp: cseucpkdfmtjapanese x-euc-jp
iso-2022-jp: csiso2022jp
shift_jis: csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
euc-kr: cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949
utf-16be: unicodefffe
utf-16le: csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
replacement: csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr
"""  # noqa: E501

NAMES: dict[str, str] = {
    label: name
    for line in _LABELS.strip().splitlines()
    for name, _, labels in [line.partition(":")]
    for label in (name, *labels.split())
}
"""Label → name of the encoding; labels in lower case."""

_CODECS = {
    "ibm866": "cp866",
    "macintosh": "mac_roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "replacement": "latin-1",
}
_TRANSCODED = frozenset({"utf-16le", "utf-16be", "iso-2022-jp"})

_PARTED = frozenset({"shift_jis", "gbk", "gb18030", "big5"})

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))


def charset(content_types: Iterable[str]) -> tuple[str, str | None]:
    """The type of the Content-Type headers and their charset, as browsers take them together (Fetch, "extract a MIME
    type"): the last type, and the charset that was last given with it."""
    return _charset(",".join(content_types))


@lru_cache(maxsize=256)
def _charset(content_type: str) -> tuple[str, str | None]:
    essence, found = "", None
    for value in _VALUE.findall(content_type):
        name, _, parameters = value.partition(";")
        name = name.strip(_SPACES).lower()
        if "/" not in name or name == "*/*":
            continue
        label = _charset_parameter(";" + parameters)
        found = label if name != essence or label is not None else found
        essence = name
    return essence, found


def _charset_parameter(parameters: str) -> str | None:
    for match in _PARAMETER.finditer(parameters):
        value = match[2] if match[2] is not None else (match[3] or "").strip(_SPACES)
        if match[1].lower() == "charset" and value:
            return value
    return None


def declared(charset: str | None, first: bytes) -> str | None:
    """Name the encoding that a page is declared to be in, in lower case; None where nothing says so.

    charset: of its Content-Type header; first: its first bytes, `PRESCAN` of them where there are as many. A byte order
    mark goes before the header, and that before what the page says of itself.
    """
    for mark, name in _MARKS:
        if first.startswith(mark):
            return name
    return _label(charset) or _prescan(first[:PRESCAN])


def _label(charset: str | None) -> str | None:
    return NAMES.get((charset or "").strip("\t\n\f\r \"'").lower())


def enough(charset: str | None, first: bytes) -> bool:
    """Whether these first bytes of a page are enough for `declared` to say what it would say of more."""
    if len(first) >= PRESCAN or (_label(charset) is not None and len(first) >= 3):
        return True
    whole = first[: first.rfind(b">") + 1]  # an unfinished tag might declare something else once it is
    return not whole.startswith(b"<?xml") and declared(None, whole) is not None


def detect(charset: str | None, first: bytes) -> str:
    """As `declared`; an undeclared page is UTF-8 if these bytes may be, else windows-1252."""
    return declared(charset, first) or ("utf-8" if _may_be_utf8(first) else "windows-1252")


def codec(name: str | None) -> str:
    """Python's name of an encoding, for `Rewriter`; of the one that `transcode` makes of it, where it does. An unknown
    one (None) is ASCII with bytes that nobody can read."""
    if name is None:
        return "ascii"
    return "utf-8" if name in _TRANSCODED else _CODECS.get(name, name)


def needs_transcoding(name: str | None) -> bool:
    """Whether pages in this encoding must pass a `Transcoder` before they can be read."""
    return name in _TRANSCODED


def reader(name: str | None) -> Transcoder | Clarifier | None:
    """What a page must pass before it is read as bytes; None where it needs nothing."""
    if name in _TRANSCODED and name is not None:
        return Transcoder(name)
    return Clarifier(escapes=name is None) if name is None or name in _PARTED else None


class Clarifier:
    """Makes a page read alike in all encodings that it might be read in. escapes: ISO-2022-JP is one of them."""

    def __init__(self, *, escapes: bool) -> None:
        self._escapes = escapes
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what can be said so far."""
        data = self._held + data
        tail = _UNFINISHED.search(data)
        self._held = tail[0] if tail is not None else b""
        return self._clear(data[: len(data) - len(self._held)])

    def close(self) -> bytes:
        """The page is over: return the rest of it."""
        held, self._held = self._held, b""
        return self._clear(held)

    def _clear(self, data: bytes) -> bytes:
        data = _AMBIGUOUS.sub(rb"\1 \2", data) if b"]]>" in data else data
        # SUBSTITUTE: "in place of a character that is invalid" (ECMA-48). Left out, it would join what it parted.
        return data.replace(b"\x1b", b"\x1a") if self._escapes else data


class Transcoder:
    """Turns a page into UTF-8, without a byte order mark; what is malformed becomes U+FFFD, as in browsers."""

    def __init__(self, name: str) -> None:
        self._decoder: codecs.IncrementalDecoder | iso2022jp.Decoder
        if name == "iso-2022-jp":
            self._decoder = iso2022jp.Decoder()
        else:
            codec_name = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}[name]
            self._decoder = codecs.getincrementaldecoder(codec_name)("replace")
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the page; return what can be said so far."""
        return self._encode(self._decoder.decode(data))

    def close(self) -> bytes:
        """The page is over: return the rest of it."""
        return self._encode(self._decoder.decode(b"", True))

    def _encode(self, text: str) -> bytes:
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        return text.encode("utf-8", "replace")


def _may_be_utf8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


_AMBIGUOUS = re.compile(rb"([\x80-\xff])(\]\]>)")
_UNFINISHED = re.compile(rb"[\x80-\xff]\]{0,2}\Z")
_SPACES = "\t\n\r "
_VALUE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r';[\t\n\r ]*([^;=]*)(?:=(?:"((?:[^"\\]|\\.)*)"?[^;]*|([^;]*)))?')

# The prescan knows neither raw text nor unquoted slashes: it is the standard's own, simpler reading.
_STEP = compile_bytes(r"<(?:(!--)|([mM][eE][tT][aA])(?=[\t\n\f\r /])|/?[a-zA-Z][^\t\n\f\r >]*|([!/?]))")
_ATTRIBUTE = compile_bytes(
    r"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)[\t\n\f\r ]*"
    r"(?:=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*)|))?"
)
_XML = re.compile(rb"<\?xml[^>]*?encoding[\x00-\x20]*=[\x00-\x20]*([\"'])([^\x00-\x20>]*?)\1")
_WIDE_XML = ((b"<\0?\0x\0", "utf-16le"), (b"\0<\0?\0x", "utf-16be"))
_CHARSET = re.compile(r"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"'][^\t\n\f\r ;]*))")


def _prescan(data: bytes) -> str | None:
    """The encoding that a page declares of itself (section 13.2.3.2), in a ``meta``, or else as XML does."""
    for mark, name in _WIDE_XML:
        if data.startswith(mark):
            return name
    found = _prescan_meta(data)
    if found is None:
        xml = _XML.match(data)
        found = NAMES.get(xml[2].decode("latin-1").lower()) if xml is not None else None
    return {"utf-16le": "utf-8", "utf-16be": "utf-8"}.get(found, found) if found is not None else None


def _prescan_meta(data: bytes) -> str | None:
    position = 0
    while (step := _STEP.search(data, position)) is not None:
        if step[1]:
            end = data.find(b"-->", step.end() - 2)
            if end < 0:
                return None
            position = end + 3
        elif step[3]:
            end = data.find(b">", step.end())
            if end < 0:
                return None
            position = end + 1
        else:
            values, position = _attributes(data, step.end())
            name = _declared(values) if step[2] else None
            if name is not None:
                return name
    return None


def _attributes(data: bytes, position: int) -> tuple[dict[str, str], int]:
    values: dict[str, str] = {}
    while (match := _ATTRIBUTE.match(data, position)) is not None:
        value = match[2] or match[3] or match[4] or b""
        values.setdefault(match[1].decode("latin-1").lower(), value.decode("latin-1").lower())
        position = match.end()
    return values, position


def _declared(values: dict[str, str]) -> str | None:
    if "charset" in values:
        return NAMES.get(values["charset"].strip("\t\n\f\r "))
    if values.get("http-equiv") != "content-type":
        return None
    for match in _CHARSET.finditer(values.get("content", "")):
        return NAMES.get((match[1] or match[2] or match[3] or "").strip("\t\n\f\r "))
    return None
