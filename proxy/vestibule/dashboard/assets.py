"""The shipped files that pages use, under names that carry a hash of the content, so that browsers may keep them."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """body: as on disk. packed: the same by gzip."""

    body: bytes
    packed: bytes
    media_type: str


class Assets:
    """All files of a folder, read once; a few hundred kilobytes at most, so they stay in memory."""

    def __init__(self, folder: Path, prefix: str = "/static") -> None:
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._add(path.relative_to(folder).as_posix(), path.read_bytes())

    def _add(self, name: str, body: bytes) -> None:
        pure = PurePosixPath(name)
        digest = hashlib.sha256(body).hexdigest()[:12]
        hashed = str(pure.with_name(f"{pure.stem}.{digest}{pure.suffix}"))
        media_type = _TYPES.get(pure.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._names[name] = hashed
        self._assets[hashed] = Asset(body, gzip.compress(body, 9, mtime=0), media_type)

    def url(self, name: str) -> str:
        """Return the address of a file by its name in the folder; a KeyError is a mistake in a template."""
        return f"{self._prefix}/{self._names[name]}"

    @property
    def names(self) -> Mapping[str, str]:
        return dict(self._names)

    async def serve(self, request: Request) -> Response:
        asset = self._assets.get(str(request.path_params["path"]))
        if asset is None:
            return PlainTextResponse("Not found\n", status_code=404)
        headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
        body = asset.body
        if "gzip" in request.headers.get("accept-encoding", "") and len(asset.packed) < len(body):
            headers["Content-Encoding"] = "gzip"
            body = asset.packed
        return Response(body, media_type=asset.media_type, headers=headers)


_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}
