"""The words of messages: how a value is shown, and what name may have been meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SECRETS = re.compile(r"(?<=://)[^/@\s]*@")


def shown(value: object) -> str:
    """A value for a message: short, and without the password of an address."""
    if isinstance(value, dict):
        return "settings" if value else "empty"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "empty"
    text = _SECRETS.sub("…@", str(value))
    return repr(text if len(text) <= 60 else text[:60] + "…") if isinstance(value, str) else text[:60]


def suggest(name: str, known: Iterable[str]) -> str:
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
