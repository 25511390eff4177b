"""The tokenizer against the cases of html5lib-tests: where tags, attributes, comments and raw text begin and end."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from vestibule.core.html.copier import LIMIT
from vestibule.core.html.grammar import named_values
from vestibule.core.html.long_tags import LongTag
from vestibule.core.html.raw_text import BOGUS_COMMENT, CDATA, COMMENT, PLAINTEXT, RAW_TEXT, SECTIONS, Raw
from vestibule.core.html.references import unescape_attribute
from vestibule.core.html.tokenizer import Tokenizer

CORPUS = Path(os.environ.get("VESTIBULE_CORPUS", "../shared/corpus")) / "html5lib-tokenizer"

Token = tuple[Any, ...]


class Recorder(Tokenizer):
    """Writes down what the tokenizer sees."""

    def __init__(self, state: str = "Data state", last: str = "") -> None:
        super().__init__()
        self.tokens: list[Token] = []
        self._text = b""
        self._mark = b""
        self._rest = b""
        # A byte order mark belongs to the decoder; the cases begin after it.
        self._started = True
        if state == "PLAINTEXT state":
            self._raw = PLAINTEXT
        elif state == "CDATA section state":
            self._begin_section(CDATA, 0)
        elif state != "Data state":
            name = last.encode()
            end = re.compile(rb"</" + name + rb"[\t\n\f\r />]", re.IGNORECASE) if name else re.compile(rb"(?!)")
            self._raw = RAW_TEXT[b"script"] if name == b"script" else Raw(name, end, len(name) + 2)

    def _characters(self, text: bytes) -> None:
        if not text:
            return
        if self.tokens and self.tokens[-1][0] == "Character":
            text = self.tokens.pop()[1] + text
        self.tokens.append(("Character", text))

    def _next_tag(self, buffer: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
        match, start = super()._next_tag(buffer, position)
        self._characters(buffer[position:start])
        return match, start

    def _read_tag(self, match: re.Match[bytes], start: int) -> bool:
        closing, name, attributes = match.groups()
        if closing:
            self.tokens.append(("EndTag", text_of(name.lower())))
        else:
            values: dict[str, str] = {}
            for item, value in named_values(attributes):
                values.setdefault(text_of(item), unescape_attribute(text_of(value)))
            itself = match[0].endswith(b"/>") and match.end(3) < match.end() - 1
            self.tokens.append(("StartTag", text_of(name.lower()), values, *([True] if itself else [])))
        return super()._read_tag(match, start)

    def _begin_section(self, raw: Raw, start: int) -> None:
        super()._begin_section(raw, start)
        self._mark = self._buffer[start : self._position]
        self._text = b"?" if self._mark == b"<?" else b""
        if raw is BOGUS_COMMENT and self._mark == b"<!--":
            self._text = b"--"

    def _read_raw(self, raw: Raw) -> bool:
        buffer, before = self._buffer, self._position
        more = super()._read_raw(raw)
        text = buffer[before : self._position]
        if raw not in SECTIONS or raw is CDATA:
            if raw is CDATA and self._raw is None:
                text = text.removesuffix(b"]]>")
            self._characters(text)
            return more
        self._text += text
        if self._raw is None or self._final:
            self._section(raw, self._raw is None)
        return more

    def _section(self, raw: Raw, ended: bool) -> None:
        text = self._text
        if raw is COMMENT:
            text = re.sub(rb"--!?>\Z" if ended else rb"(?:--!|--?)\Z", b"", text)
        elif ended:
            text = text[:-1]
        if raw is BOGUS_COMMENT and self._mark == b"<!--":
            text = b""
        if self._mark == b"<!" and text[:7].lower() == b"doctype":
            self.tokens.append(("DOCTYPE",))
        elif self._mark != b"</" or text:
            self.tokens.append(("Comment", text_of(text)))

    def finish(self) -> list[Token]:
        self.close()
        if self._rest in (b"<", b"</"):
            self._characters(self._rest)
        return [(t[0], text_of(t[1], False)) if t[0] == "Character" else t for t in self.tokens]

    def _work(self, data: bytes) -> bytes:
        done = super()._work(data)
        self._rest = self._buffer
        return done


def text_of(raw: bytes, replace: bool = True) -> str:
    text = raw.decode("utf-8", "surrogatepass").replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", "\ufffd") if replace else text


def record(data: bytes, pieces: list[int], state: str = "Data state", last: str = "") -> list[Token]:
    recorder = Recorder(state, last)
    position = 0
    for size in pieces:
        recorder.feed(data[position : position + size])
        position += size
    recorder.feed(data[position:])
    return recorder.finish()


def load_cases() -> list[tuple[str, dict[str, Any]]]:
    cases = []
    for path in sorted(CORPUS.glob("*.test")):
        # The cases of xmlViolation.test are what becomes of text on its way to XML, which is not ours.
        for number, case in enumerate(json.loads(path.read_text()).get("tests", ())):
            cases.append((f"{path.stem}-{number}", case))
    return cases


def expected(case: dict[str, Any], decode: Any) -> list[Token]:
    tokens: list[Token] = []
    for token in case["output"]:
        kind = token[0]
        if kind == "Character":
            text = decode(token[1])
            if tokens and tokens[-1][0] == "Character":
                text = tokens.pop()[1] + text
            tokens.append(("Character", text))
        elif kind == "DOCTYPE":
            tokens.append(("DOCTYPE",))
        elif kind == "StartTag":
            values = {decode(name): decode(value) for name, value in token[2].items()}
            tokens.append(("StartTag", decode(token[1]), values, *token[3:]))
        else:
            tokens.append((kind, decode(token[1])))
    return tokens


def comparable(tokens: list[Token], with_text: bool) -> list[Token]:
    """Text with references isn't decoded by us: then only its place counts."""
    return [token if with_text or token[0] != "Character" else ("Character",) for token in tokens]


def test_every_case_of_html5lib() -> None:
    cases = load_cases()
    if not cases:
        pytest.skip(f"no corpus at {CORPUS}")
    wrong = []
    for label, case in cases:
        escaped = case.get("doubleEscaped", False)

        def decode(text: str, escaped: bool = escaped) -> str:
            return str(json.loads('"' + text.replace('"', '\\"') + '"')) if escaped else text

        source = decode(case["input"])
        data = source.encode("utf-8", "surrogatepass")
        with_text = "&" not in source and "\0" not in source
        for state in case.get("initialStates", ["Data state"]):
            wanted = comparable(expected(case, decode), with_text)
            last = case.get("lastStartTag", "")
            generator = random.Random(label)
            cuts = [[], [1] * len(data), [generator.randint(1, 4) for _ in data]]
            for pieces in cuts:
                got = comparable(record(data, pieces, state, last), with_text)
                if got != wanted:
                    wrong.append(f"{label} {state} {len(pieces)}: {source!r}: {got} != {wanted}")
                    break
    assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong[:40])


class Names(Tokenizer):
    """The names of all tags, and how far each feed got."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[bytes] = []
        self.most_held = 0

    def feed(self, data: bytes) -> bytes:
        out = super().feed(data)
        self.most_held = max(self.most_held, len(self._buffer), self._waiting_size)
        return out

    def _read_tag(self, match: re.Match[bytes], start: int) -> bool:
        self.names.append(match[2].lower())
        return super()._read_tag(match, start)

    def _close_long(self, long: LongTag) -> None:
        self.names.append(long.name + b"!")


@pytest.mark.parametrize(
    "tag",
    [
        '<a id="x">',
        "<a id = 'x' >",
        "<a id=x>",
        "<a id=x/>",
        "<a id>",
        "<a id  =  x y='>' >",
        "</a x='>'>",
        "<a/b='c'/>",
    ],
)
def test_a_tag_comes_out_as_soon_as_it_is_whole(tag: str) -> None:
    tokenizer = Tokenizer()
    held = b"".join(tokenizer.feed(tag[at : at + 1].encode()) for at in range(len(tag) - 1))
    assert held == b""
    assert tokenizer.feed(tag[-1:].encode()) == tag.encode()


LONG = [
    b"<p " + b"x" * 200_000 + b"><b>",
    b"<p " + b"x " * 100_000 + b"><b>",
    b"<p x" + b" " * 200_000 + b"='a>b'><b>",
    b"<p x=" + b" " * 200_000 + b"'a>b'><b>",
    b"<p x='" + b">" * 200_000 + b"'><b>",
    b'<p x="' + b"'>" * 100_000 + b'"><b>',
    b"<p x=" + b"'" * 200_000 + b"><b>",
    b"<p " + b"/" * 200_000 + b"><b>",
    b"<p " + b"=" * 200_000 + b"><b>",
    b"<p" + b"x" * 200_000 + b" y='>'><b>",
    b"</p x='" + b">" * 200_000 + b"'><b>",
    b"<p " + b"a='>' b=\"'\" " * 20_000 + b"><b>",
]


@pytest.mark.parametrize("page", LONG, ids=lambda page: repr(page[:12]))
def test_long_tags_are_read_piecemeal_in_bounded_memory(page: bytes) -> None:
    seen = set()
    for size in (len(page), LIMIT, 4097, 1000):
        names = Names()
        out = b"".join(names.feed(page[at : at + size]) for at in range(0, len(page), size)) + names.close()
        assert out == page
        assert names.most_held <= LIMIT + size
        seen.add(tuple(names.names))
    assert len(seen) == 1
    assert seen.pop()[-1] == b"b"
