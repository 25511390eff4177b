"""What an answer is: a page, a file that is counted, a part of a page that isn't, an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from vestibule.core.hits import Hit
from vestibule.core.pages import extension


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ASSETS = _words(
    "css js mjs cjs map wasm woff woff2 ttf otf eot png jpg jpeg jpe gif webp avif svg svgz ico cur bmp "
    "tif tiff jxl heic apng webmanifest m3u8 ts m4s mpd json jsonp axd swf htc"
)
"""Extensions of what pages are made of: never counted, unless it fails."""
DOWNLOADS = _words(
    "pdf doc docx docm dot dotx xls xlsx xlsm xlsb ppt pptx pps ppsx odt ods odp odg rtf epub mobi azw3 "
    "pages numbers key zip gz tgz bz2 xz zst 7z rar tar dmg exe msi msix pkg deb rpm apk ipa appimage iso "
    "img jar war whl crx xpi bin csv tsv ics vcf dwg dxf step stl psd ai eps sketch sql sqlite parquet "
    "torrent"
)
"""Extensions of what is counted by its path when it is fetched."""
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("rss", "atom", "rdf"), "feed"),
        **dict.fromkeys(("txt", "text", "md", "log"), "text"),
        **dict.fromkeys(("xml", "xsl", "xsd", "kml", "gpx"), "xml"),
        **dict.fromkeys(("mp3", "m4a", "ogg", "oga", "opus", "wav", "flac", "aac"), "audio"),
        **dict.fromkeys(("mp4", "m4v", "webm", "mov", "avi", "mkv", "ogv", "mpg", "mpeg", "wmv", "flv"), "video"),
    }
)
"""Extensions of what is counted by its type only."""
PAGES = _words("html htm xhtml shtml php php3 php4 php5 php7 phtml asp aspx jsp jspx jsf do action cfm cgi pl py")
_DOWNLOAD_TYPES = re.compile(
    r"application/(?:pdf|msword|rtf|zip|gzip|epub\+zip|octet-stream|java-archive|x-(?:zip-compressed|7z-compressed|tar|bzip2|"
    r"rar-compressed|gzip|msdownload|apple-diskimage|debian-package|rpm|iso9660-image)|vnd\.(?:ms-|openxmlformats-|oasis\.|"
    r"android\.package-archive|rar))|text/(?:csv|calendar|vcard)"
)
_TYPES = (
    (re.compile(r"application/(?:rss|atom|rdf)\+xml"), "feed"),
    (re.compile(r"(?:application|text)/(?:xml|[\w.-]+\+xml)"), "xml"),
    (re.compile(r"text/plain|text/markdown"), "text"),
    (re.compile(r"audio/"), "audio"),
    (re.compile(r"video/"), "video"),
    (re.compile(r"image/"), "image"),
    (re.compile(r"application/(?:json|[\w.-]+\+json)"), "json"),
)
_ASSET_TYPES = re.compile(
    r"text/(?:css|javascript)|application/(?:(?:x-)?javascript|wasm|json|manifest\+json)|image/|font/"
)

VIEW, FILE, ERROR = "view", "file", "error"


def is_asset(path: str, status: int) -> bool:
    """Whether a line of a log need not be read further: part of a page, and it didn't fail."""
    return status < 400 and extension(path) in ASSETS


_PARTS = _words(
    "audioworklet embed fencedframe font frame iframe image manifest object paintworklet report script serviceworker "
    "sharedworker speculationrules style track webidentity worker xslt"
)
"""Destinations of requests that browsers make for a page (Fetch Standard, section 2.2.5)."""


def is_part(dest: str, path: str, status: int, content_type: str) -> bool:
    """Whether an exchange was for a part of a page, and need not be told unless something was held back in it.

    It says no more than :func:`kind_of` would, for a fraction of the work.
    """
    if dest:
        return (dest in _PARTS and status < 400) or (dest == "empty" and status < 500)
    return is_asset(path, status) and "html" not in content_type.lower()


def kind_of(hit: Hit) -> str:
    """Return ``view``, ``file``, ``error``, or an empty text for what is only part of a page."""
    if hit.status >= 400:
        return "" if hit.fetch_dest == "empty" and hit.status < 500 else ERROR
    dest = hit.fetch_dest
    if dest:
        return _document(hit) if dest == "document" else (FILE if dest in ("audio", "video") else "")
    suffix = extension(hit.path)
    kind = hit.content_type.partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        return VIEW if "html" in hit.accept or not hit.accept else ""
    if suffix in DOWNLOADS or suffix in OTHERS:
        return FILE
    if suffix in ASSETS or _ASSET_TYPES.match(kind):
        return ""
    if kind:
        return FILE if file_type(hit) else ""
    return VIEW if not suffix or suffix in PAGES or suffix.isdigit() else ""


def _document(hit: Hit) -> str:
    kind = hit.content_type.partition(";")[0].strip().lower()
    if not kind:
        suffix = extension(hit.path)
        return FILE if suffix in DOWNLOADS or suffix in OTHERS else VIEW
    return VIEW if kind in ("text/html", "application/xhtml+xml") else FILE


def file_type(hit: Hit) -> str:
    """Return what a file is counted as: its extension where it is a download, else a class such as ``feed``."""
    suffix = extension(hit.path)
    if suffix in DOWNLOADS:
        return suffix
    kind = hit.content_type.partition(";")[0].strip().lower()
    if _DOWNLOAD_TYPES.match(kind):
        return "download"
    for pattern, name in _TYPES:
        if pattern.match(kind):
            return name
    return OTHERS.get(suffix, "")


def is_download(hit: Hit) -> bool:
    """Whether a file is counted by its path: its name or its type says that it is one to keep."""
    return extension(hit.path) in DOWNLOADS or _DOWNLOAD_TYPES.match(hit.content_type.lower()) is not None
