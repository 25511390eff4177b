"""Reads on over what can be settled at a glance: most of most pages.

Each Python step costs as much as a few hundred bytes of scanning. So one search finds the next tag that may matter, one
pattern of `glance` reads it whole, and a set tells that its origins are open, or what holds them back. Whatever is
written in another way, unfinished, or to be judged by more than its origin is left to the closer look of `rewriter`,
which comes to the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vestibule.core.html import elements, glance
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.gate import Gated, mark
from vestibule.core.html.grammar import HEAD_LOADER, OWN_SVG, SIMPLE_SVG, Scan, outside_tags
from vestibule.core.html.judge import Judge
from vestibule.core.html.raw_text import RAW_TEXT, script_end
from vestibule.core.html.scanner import OURS
from vestibule.core.html.tokenizer import Tokenizer
from vestibule.core.html.vocabulary import word

SCAN = Scan(elements.ALWAYS, ("body", "select", "template"), elements.IF_ATTRIBUTE)


def _host(origin: bytes) -> str:
    return origin.partition(b"//")[2].decode()


class Skimmer(Tokenizer):
    """What settles most of a page where there is no compiled scanner. Only for HTML: neither within SVG or MathML nor
    in framesets."""

    _judge: Judge
    _in_select: bool

    def _skim_head(self) -> bool:
        """Read on in a head; tell whether anything was settled."""
        buffer, position, settled = self._buffer, self._position, False
        while (match := HEAD_LOADER.match(buffer, position)) is not None:
            position = match.start(1) - 1
            end = _SETTLE[match[1]](self, position)
            if end < 0:
                break
            position, settled = end, True
            if self._raw is not None:
                break
        self._position = position
        return settled

    def _skim_body(self) -> bool:
        """Read on wherever tags are found by `SCAN`; tell whether anything was settled."""
        buffer, position, find, settled = self._buffer, self._position, SCAN.find, False
        while True:
            match = find(buffer, position)
            if match is None:
                start = buffer.rfind(b">", position) + 1
                if start and outside_tags(buffer, position, start):
                    position = start
                break
            start = match.start()
            if start != position and not outside_tags(buffer, position, start):
                break
            position = start
            name = match[1]
            if name is None:
                if match.lastindex is None:
                    break
                position = match.end()
                continue
            settle = _SETTLE.get(name)
            if settle is None:
                break
            end = settle(self, start)
            if end < 0:
                break
            position, settled = end, True
            if self._raw is not None:
                break
        self._position = position
        return settled

    # Each of these reads an element's start tag, and its text as far as that is whole, and returns where to go on; -1
    # where the tag has to be looked at.

    def _settle_img(self, start: int) -> int:
        match = glance.IMG.match(self._buffer, start)
        if match is None:
            return -1
        origins = match.group(*glance.IMG_ORIGINS)
        known = self._judge.origins["image"]
        if match.end() - start <= LIMIT and all(known.get(origin, False) is None for origin in set(origins)):
            return match.end()
        return self._settle_picture(match, b"img", glance.IMG_PARTS)

    def _settle_source(self, start: int) -> int:
        match = glance.SOURCE.match(self._buffer, start)
        return -1 if match is None else self._settle_picture(match, b"source", glance.SOURCE_PARTS)

    def _settle_form(self, start: int) -> int:
        match = glance.FORM.match(self._buffer, start)
        if match is None or match.end() - start > LIMIT or not self._judge.opens((match[2],), "form"):
            return -1
        return match.end()

    def _settle_text(self, start: int) -> int:
        match = None if self._in_select else glance.TEXT.match(self._buffer, start)
        return -1 if match is None or match.end(2) - start > LIMIT else match.end()

    def _settle_svg(self, start: int) -> int:
        if self._in_select:
            return -1
        match = SIMPLE_SVG.match(self._buffer, start)
        if match is None and self._judge.opens((b"",), "image"):
            match = OWN_SVG.match(self._buffer, start)
        return -1 if match is None else match.end()

    def _settle_noscript(self, start: int) -> int:
        buffer = self._buffer
        match = glance.NOSCRIPT.match(buffer, start)
        close = None if match is None else RAW_TEXT[b"noscript"].end.search(buffer, match.end())
        if match is None or close is None or close.start() - match.end() > LIMIT or match.end() - start > LIMIT:
            return -1
        position, until = match.end(), close.start()
        before = len(self._out), self._copied, len(self._judge.held)
        while (found := SCAN.find(buffer, position, until)) is not None:
            at = found.start()
            if found[1] not in (b"img", b"link") or (at != position and not outside_tags(buffer, position, at)):
                break
            position = _SETTLE[found[1]](self, at)
            if not 0 <= position <= until:
                break
        else:
            if position == until or outside_tags(buffer, position, until):
                return until
        del self._out[before[0] :], self._judge.held[before[2] :]
        self._copied = before[1]
        return -1

    def _settle_picture(self, match: re.Match[bytes], name: bytes, parts: glance.Parts) -> int:
        judge, start, end = self._judge, match.start(), match.end()
        if end - start > LIMIT:
            return -1
        held: dict[bytes, tuple[int, Gated, bytes]] = {}
        for named, group in parts:
            origin = match[group]
            if judge.origins["image"].get(origin, False) is None:
                continue
            gated = judge.origin(origin, "image")
            if gated is None:
                judge.opens((origin,), "image")
            elif not isinstance(gated, Gated) or not origin:
                return -1
            else:
                held[match[named]] = (match.start(named), gated, origin)
        if not held:
            return end
        names = [match[named] for named in {named for named, _ in parts} if match[named] is not None]
        if len(names) != len(set(names)):
            return -1
        for _, gated, origin in held.values():
            judge.note(gated, "image", _host(origin))
        self._emit(start + 1 + len(name), mark(next(iter(held.values()))[1]))
        for at, _, _ in held.values():
            self._emit(at, OURS)
        return end

    def _settle_link(self, start: int) -> int:
        match = glance.LINK.match(self._buffer, start)
        if match is None:
            return -1
        rel, _, origin, another = match.groups()
        if rel is None:
            rel = another
        elif another is not None:
            return -1
        end = match.end()
        kind = self._judge.words.link_kind(rel or b"")
        if end - start > LIMIT:
            return -1
        if kind is None or origin is None or self._judge.opens((origin,), kind):
            return end
        gated = self._judge.origin(origin, kind)
        if not isinstance(gated, Gated) or not origin:
            return -1
        self._judge.note(gated, kind, _host(origin))
        if elements.only_hints(word(rel or b"")):
            self._emit(start, b"", end)
        else:
            self._emit(start + 5, mark(gated))
            self._emit(match.start(2), OURS)
        return end

    def _settle_script(self, start: int) -> int:
        buffer = self._buffer
        match = glance.SCRIPT.match(buffer, start)
        if match is None or match.end() - start > LIMIT:
            return -1
        kind, _, origin, another = match.groups()
        if origin is not None:
            return self._settle_external(match, origin)
        if kind is None:
            kind = another
        elif another is not None:
            return -1
        end = match.end()
        close, _, _ = script_end(buffer, end, 0)
        if close < 0 or close - end > LIMIT:
            return -1
        meant = "script" if kind is None else self._judge.words.script_type(kind)
        if meant == "speculationrules" or (meant == "script" and self._judge.inline(buffer[end:close]) is not None):
            return -1
        return close

    def _settle_external(self, match: re.Match[bytes], origin: bytes) -> int:
        judge = self._judge
        if not judge.opens((origin,), "script"):
            gated = judge.origin(origin, "script")
            if not isinstance(gated, Gated) or not origin:
                return -1
            judge.note(gated, "script", _host(origin))
            self._emit(match.start() + len(b"<script"), b' type="text/plain"' + mark(gated))
            for group, before in ((1, len(b'type="')), (2, 0), (4, len(b'type="'))):
                if match[group] is not None:
                    self._emit(match.start(group) - before, OURS)
        end = match.end()
        if not self._buffer.startswith(b"</script>", end):
            self._raw, self._script_state = RAW_TEXT[b"script"], 0
        return end


_SETTLE: Mapping[bytes, Callable[[Skimmer, int], int]] = {
    b"img": Skimmer._settle_img,
    b"script": Skimmer._settle_script,
    b"link": Skimmer._settle_link,
    b"source": Skimmer._settle_source,
    b"form": Skimmer._settle_form,
    b"svg": Skimmer._settle_svg,
    b"noscript": Skimmer._settle_noscript,
    **dict.fromkeys((b"style", b"title", b"textarea"), Skimmer._settle_text),
}
"""What is settled at a glance, and how."""
