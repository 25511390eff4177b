"""A one-page PDF (PDF 1.4, standard fonts, no compression), written by hand so that the demo has a download."""

from __future__ import annotations

from collections.abc import Sequence

PINE = "0.063 0.137 0.114"
THREAD = "0.898 0.282 0.176"
GREY = "0.36 0.42 0.39"


def one_pager(title: str, lead: str, points: Sequence[tuple[str, str]], foot: str) -> bytes:
    """An A4 page: a title, a lead sentence and a list of points. Text must be Latin-1."""
    drawn = [f"{THREAD} RG 3 w 56 742 m 96 762 116 702 156 728 c 180 744 170 768 150 760 c 128 750 150 716 200 728 c S"]
    drawn += [_text(56, 660, "F2", 30, PINE, title), _text(56, 628, "F1", 13, GREY, lead)]
    height = 570
    for heading, sentence in points:
        drawn.append(f"{THREAD} rg 56 {height + 1} 7 7 re f")
        drawn += [_text(76, height, "F2", 13, PINE, heading), _text(76, height - 19, "F1", 11, GREY, sentence)]
        height -= 58
    drawn.append(_text(56, 56, "F1", 9, GREY, foot))
    return _document("\n".join(drawn).encode("latin-1"), title)


def _text(x: int, y: int, font: str, size: int, colour: str, text: str) -> str:
    return f"BT {colour} rg /{font} {size} Tf {x} {y} Td ({_escape(text)}) Tj ET"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _document(content: bytes, title: str) -> bytes:
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        font % b"Helvetica",
        font % b"Helvetica-Bold",
        b"<< /Title (%s) /Creator (Relaso) >>" % _escape(title).encode("latin-1"),
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 7 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)
