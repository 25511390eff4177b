"""The HTML that visitors see, rendered with Jinja2; every value is escaped unless it is HTML of our own."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates, of which a name that is not given is an error."""
    return Environment(
        loader=PackageLoader("vestibule.privacy"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
