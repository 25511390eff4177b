"""The texts that visitors read, by language: ``static/banner/locales/*.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vestibule.assets import static

DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. ``tag`` is its BCP 47 tag; texts are looked up as ``texts["banner"]["title"]``."""

    tag: str
    data: dict[str, Any]

    def __getitem__(self, section: str) -> Any:
        return self.data[section]

    @property
    def direction(self) -> str:
        return str(self.data["direction"])


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """The tags of all languages that there are."""
    return frozenset(path.stem for path in (static() / "banner" / "locales").glob("*.json"))


@lru_cache(maxsize=64)
def texts(tag: str) -> Texts:
    """The texts of one of ``languages()``."""
    return Texts(tag, json.loads((static() / "banner" / "locales" / f"{tag}.json").read_text(encoding="utf-8")))


@lru_cache(maxsize=512)
def choose(accept_language: str) -> str:
    """The language that an ``Accept-Language`` header likes best (RFC 4647, lookup); English if there is none."""
    ranked: list[tuple[float, int, str]] = []
    for index, item in enumerate(accept_language[:200].split(",")):
        tag, _, parameters = item.strip().partition(";")
        quality = 1.0
        if parameters.strip().startswith("q="):
            try:
                quality = float(parameters.strip()[2:])
            except ValueError:
                continue
        if tag and quality > 0:
            ranked.append((-quality, index, tag.strip().lower()))
    known = {name.lower(): name for name in languages()}
    for _, _, tag in sorted(ranked):
        while tag:
            if tag in known:
                return known[tag]
            tag = tag.rpartition("-")[0]
    return DEFAULT
