"""What our parts tell each other in ASGI messages beyond what ASGI says. Who does not know them loses nothing."""

from __future__ import annotations

BODY_FOLLOWS = "vestibule.body_follows"
"""In ``http.response.start``: the whole body is here, too, and comes with the next message; so one write will do."""
