"""How the site works together with the proxy in front of it: what it says, and what it is told."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response


# recipe
def remembered(request: Request) -> tuple[str, dict[str, object]] | None:
    """Who is kept signed in, and what they prefer. Only Vestibule can send these headers."""
    email = request.headers.get("vestibule-account")
    return (email, json.loads(request.headers.get("vestibule-preferences", "{}"))) if email else None


def signed_in(response: Response, email: str) -> None:
    response.headers["Vestibule-Account"] = email


def preferences_changed(response: Response, preferences: dict[str, object]) -> None:
    response.headers["Vestibule-Preferences"] = json.dumps(preferences)


def signed_out(response: Response, *, everywhere: bool = False) -> None:
    response.headers["Vestibule-Sign-Out"] = "everywhere" if everywhere else "1"


# end of the recipe
