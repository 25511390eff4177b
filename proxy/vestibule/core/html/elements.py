"""Which elements and attributes make a browser contact someone, and of what kind that contact is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vestibule.core.html.references import unescape_attribute

KINDS = (
    "script", "style", "image", "media", "frame", "object", "manifest", "icon", "hint", "form", "ping", "navigate",
)  # fmt: skip
"""What a URL is wanted for, as the gate is asked."""

LINK, META, BASE, SRCDOC, ANIMATION = "(link)", "(meta)", "(base)", "(srcdoc)", "(animation)"
SPECIAL = frozenset({LINK, META, BASE, SRCDOC, ANIMATION})
"""In place of a kind: what the attribute means hangs on others of its element."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _with_lazy(kind: str) -> dict[bytes, str]:
    return {b"src": kind, b"data-src": kind, b"data-lazy-src": kind}


_PICTURE = {
    **_with_lazy("image"),
    b"srcset": "image",
    b"data-srcset": "image",
    b"data-lazy-srcset": "image",
    b"data-original": "image",
    b"lowsrc": "image",
    b"dynsrc": "media",
    b"attributionsrc": "ping",
}
_REFERENCE = {b"href": "image", b"xlink:href": "image"}
SVG_REFERENCES = frozenset(_REFERENCE)
"""Attributes of which a bare fragment means this document, whatever the base."""
_REFERRING = _words(
    "use feimage lineargradient radialgradient pattern filter textpath mpath tref cursor font-face-uri glyphref "
    "altglyph color-profile discard"
)

ANIMATIONS = frozenset(b"animate set animatetransform animatemotion".split())

RULES: Mapping[bytes, dict[bytes, str]] = {
    b"script": {b"src": "script", b"data-src": "script", b"data-lazy-src": "script", b"href": "script",
                b"xlink:href": "script", b"attributionsrc": "ping"},
    b"iframe": {**_with_lazy("frame"), b"srcdoc": SRCDOC},
    b"frame": _with_lazy("frame"),
    b"portal": {b"src": "frame"},
    b"fencedframe": {b"src": "frame"},
    b"img": _PICTURE,
    b"image": {**_PICTURE, **_REFERENCE},
    b"source": {**_PICTURE, **_with_lazy("media")},
    b"video": {**_with_lazy("media"), b"poster": "image"},
    b"audio": _with_lazy("media"),
    b"track": {b"src": "media"},
    b"bgsound": {b"src": "media"},
    b"mglyph": {b"src": "image"},
    b"embed": {**_with_lazy("object"), b"code": "object"},
    b"object": {b"data": "object", b"classid": "object", b"archive": "object", b"codebase": "object"},
    b"applet": {b"code": "object", b"archive": "object", b"codebase": "object", b"object": "object"},
    b"input": {**_with_lazy("image"), b"formaction": "form", b"attributionsrc": "ping"},
    b"button": {b"formaction": "form"},
    b"form": {b"action": "form"},
    b"a": {b"ping": "ping", b"attributionsrc": "ping"},
    b"area": {b"ping": "ping", b"attributionsrc": "ping"},
    b"html": {b"manifest": "manifest"},
    b"link": {b"href": LINK, b"imagesrcset": LINK},
    b"meta": {b"http-equiv": META, b"charset": META},
    b"base": {b"href": BASE},
    **{name: {b"background": "image"} for name in b"body table tbody td tfoot th thead tr".split()},
    **{name.encode(): _REFERENCE for name in _REFERRING},
    **{name: {b"attributename": ANIMATION, **_REFERENCE} for name in ANIMATIONS},
}  # fmt: skip
"""Lower-case element → lower-case attribute → the kind of contact it makes."""

INTRICATE = frozenset({b"meta", b"base", b"iframe", *ANIMATIONS})
"""Elements whose attributes hang together, or hold more than references."""

ALWAYS = _words(
    "script noscript style textarea title xmp iframe noembed noframes plaintext svg math select template frameset "
    "frame portal fencedframe img image source video audio track bgsound mglyph embed object applet form link base"
)
"""Elements that are read wherever they stand in HTML."""


def _or_ours(*attributes: str) -> tuple[str, ...]:
    """Attributes, and how they are called when they are held back: the page may imitate that."""
    return (*attributes, *(f"data-vestibule-{attribute}" for attribute in attributes), "data-vestibule")


IF_ATTRIBUTE = {
    "a": (("a", "area"), _or_ours("ping", "attributionsrc")),
    "button": (("button",), _or_ours("formaction")),
    "html": (("html",), _or_ours("manifest")),
    "input": (("input",), _or_ours("src", "data-src", "data-lazy-src", "formaction", "attributionsrc")),
    "meta": (("meta",), _or_ours("http-equiv", "charset")),
    "table": (("body", "table", "tbody", "td", "tfoot", "th", "thead", "tr"), _or_ours("background")),
}
"""Elements that are read only where they have one of some attributes."""

DISARMING: Mapping[bytes, bytes] = {
    b"script": b' type="text/plain"',
    b"iframe": b' src="about:blank" srcdoc=""',
    b"frame": b' src="about:blank"',
    b"portal": b' src=""',
    b"fencedframe": b' src=""',
    b"embed": b' src="" code=""',
    b"object": b' data="" classid="" archive="" codebase=""',
    b"applet": b' code="" archive="" codebase="" object=""',
    b"form": b' action=""',
    b"link": b' rel=""',
    b"meta": b' http-equiv="" charset=""',
    b"base": b' href=""',
    **dict.fromkeys(ANIMATIONS, b' attributename=""'),
}
"""Attributes that, put first, take all effect from those that follow: of two with one name the first counts."""


def independent_kind(element: bytes, attribute: bytes) -> str | None:
    """The kind of an attribute that can be decided by itself; None where `DISARMING` takes care of its element."""
    return None if element in DISARMING else RULES.get(element, {}).get(attribute)


IN_HEAD = frozenset(b"html head base basefont bgsound link meta title script style template noscript noframes".split())
"""Elements that do not begin the body."""

_SPACED = frozenset({b"ping", b"attributionsrc", b"archive"})
LISTS = _SPACED | {b"srcset", b"imagesrcset", b"data-srcset", b"data-lazy-srcset"}
"""Attributes that hold any number of references."""

_CANDIDATE = re.compile(r"[\t\n\f\r ,]*([^\t\n\f\r ]+)")
_DESCRIPTORS = re.compile(r"(?:[^,(]|\([^)]*\)?)*")


def references(attribute: bytes, text: str) -> list[str]:
    """The references in such an attribute."""
    if attribute in _SPACED:
        return (
            re.split(r"[\t\n\f\r ,]+" if attribute == b"archive" else r"[\t\n\f\r ]+", text.strip(" \t\n\f\r"))
            if text.strip()
            else []
        )
    found: list[str] = []
    position = 0
    while (match := _CANDIDATE.match(text, position)) is not None:
        url = match[1].rstrip(",")
        if url:
            found.append(url)
        position = match.end()
        if url == match[1]:
            descriptors = _DESCRIPTORS.match(text, position)
            position = descriptors.end() if descriptors is not None else position
    return found


_HINTS = frozenset({"preconnect", "dns-prefetch", "preload", "prefetch", "modulepreload", "prerender", "subresource"})
_IDLE_LINKS = _set(
    "alternate amphtml appendix archives attachment author bookmark canonical category chapter contents "
    "contribution-policy copyright cite-as code-license code-repository content-license describedby "
    "disclosure edit edituri enclosure expect external first gallery glossary help home hub icon-sets index "
    "it last license login logout mayor me next nofollow noopener noreferrer nsc opener openid.delegate "
    "openid.server openid2.local_id openid2.provider openid2.local-id p3pv1 pgpkey pingback prev previous "
    "privacy-policy profile publisher rel replies section self service shortlink shorturl sidebar sitemap "
    "standout start subsection syndication tag terms-of-service timesheet toc transformation up vcs-git "
    "version-history webmention webmaster wlwmanifest author-license image_src micropub "
    "authorization_endpoint token_endpoint shortcut"
)
_LINK_KINDS = {
    "stylesheet": "style",
    "icon": "icon",
    "apple-touch-icon": "icon",
    "apple-touch-icon-precomposed": "icon",
    "apple-touch-startup-image": "icon",
    "mask-icon": "icon",
    "fluid-icon": "icon",
    "manifest": "manifest",
    "import": "script",
}


def link_kind(rel: str) -> str | None:
    """The kind of contact that a link makes, by its lower-case ``rel``; None: none that loads by itself.

    Relations that nobody knows count as hints: what a browser to come does with them we can't tell.
    """
    tokens = rel.split()
    for word in tokens:
        if word in _LINK_KINDS:
            return _LINK_KINDS[word]
    return None if all(word in _IDLE_LINKS for word in tokens) else "hint"


def only_hints(rel: str) -> bool:
    """Whether a link does nothing but hint, so that it can go altogether."""
    tokens = rel.split()
    return bool(tokens) and all(token in _HINTS for token in tokens)


_REFRESH = re.compile(
    r"[\t\n\f\r ]*(?:[0-9]+[0-9.]*|(?=\.)[0-9.]+)(?:[\t\n\f\r ]*[;,][\t\n\f\r ]*|[\t\n\f\r ]+)"
    r"(?:[uU][rR][lL][\t\n\f\r ]*=[\t\n\f\r ]*)?(.*)",
    re.DOTALL,
)


def refresh_target(content: str) -> str:
    """The address that a ``meta`` refresh goes to (shared declarative refresh steps); '' for the page itself."""
    match = _REFRESH.match(content)
    if match is None:
        return ""
    target = match[1]
    if target[:1] in ("'", '"'):
        target = target[1:].partition(target[0])[0]
    return target


_SCRIPT_TYPES = _set(
    "application/ecmascript application/javascript application/x-ecmascript application/x-javascript "
    "text/ecmascript text/javascript text/javascript1.0 text/javascript1.1 text/javascript1.2 "
    "text/javascript1.3 text/javascript1.4 text/javascript1.5 text/jscript text/livescript text/x-ecmascript "
    "text/x-javascript"
)


def script_type(values: Mapping[bytes, bytes]) -> str:
    """What an inline script is, by its attributes: ``script``, ``speculationrules`` or ``data``."""
    if b"type" in values:
        kind = _word(values[b"type"])
        if not kind and not values[b"type"]:
            return "script"
    else:
        language = _word(values.get(b"language", b""))
        kind = f"text/{language}" if language else ""
        if not kind:
            return "script"
    if kind in _SCRIPT_TYPES or kind == "module":
        return "script"
    return "speculationrules" if kind == "speculationrules" else "data"


def _word(value: bytes) -> str:
    return unescape_attribute(value.decode("latin-1")).strip("\t\n\f\r ").lower()
