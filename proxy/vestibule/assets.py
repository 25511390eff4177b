"""Where the shipped static files are, and what is served of them.

An installed wheel carries them as ``vestibule/static``; in a checkout, editable or not, they lie beside ``proxy/``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def static() -> Path:
    """The folder of static files."""
    packed = Path(str(files("vestibule"))) / "static"
    return packed if packed.is_dir() else Path(__file__).resolve().parents[2] / "static"


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file in memory. ``digest`` names the content (for addresses that never change their meaning),
    ``integrity`` is its hash as Subresource Integrity and Content-Security-Policy write it."""

    name: str
    content: bytes
    content_type: str
    digest: str
    integrity: str

    @classmethod
    def read(cls, path: Path) -> Asset:
        return cls.of(path.name, path.read_bytes())

    @classmethod
    def of(cls, name: str, content: bytes) -> Asset:
        """Content under a name, whose suffix tells its type."""
        digest = hashlib.sha256(content).digest()
        integrity = "sha256-" + base64.b64encode(digest).decode()
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        return cls(name, content, kind, digest.hex()[:12], integrity)
