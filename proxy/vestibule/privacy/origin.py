"""Whether a state-changing request comes from the site itself (Fetch Metadata, RFC 6454)."""

from __future__ import annotations

from collections.abc import Mapping


def from_own_pages(headers: Mapping[bytes, bytes], origin: str) -> bool:
    """Whether a POST may change something.

    ``Sec-Fetch-Site`` decides where it is sent: ``same-origin``, or ``none`` (the visitor's own doing). Else ``Origin``
    must be the site's own; a page with ``Referrer-Policy: no-referrer`` sends ``null``, which counts as foreign
    without Fetch Metadata. Without either it is refused. origin: the site's as the visitor sees it.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site.strip() in (b"same-origin", b"none")
    return headers.get(b"origin", b"").strip().lower() == origin.lower().encode("latin-1")


def is_navigation(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser itself asks, for a window, a frame or a download, and no script that would read the answer.
    ``navigate`` is the one mode that scripts cannot ask for (Fetch, section 2.2.5); browsers without Fetch Metadata
    cannot be told apart."""
    return headers.get(b"sec-fetch-mode", b"navigate").strip() == b"navigate"


def local_path(target: str) -> str:
    """``target`` if it is a path on this site, else ``/``: never an address of another one.

    Browsers read ``//host``, ``/\\host`` and tabs or line ends inside as other hosts, so such targets count as foreign.
    """
    if (
        not target.startswith("/")
        or target.startswith(("//", "/\\"))
        or "\\" in target
        or not target.isascii()
        or any(ord(char) < 0x21 or ord(char) == 0x7F for char in target)
        or len(target) > 4096
    ):
        return "/"
    return target
