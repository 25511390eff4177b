"""Jinja2 as the admin app uses it: everything escaped, every name defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from vestibule import __version__
from vestibule.dashboard import dimensions, values, worldmap
from vestibule.dashboard.assets import Assets
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.words import Words


class Templates:
    """Renders the files of ``templates/``."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["visible"] = values.visible
        self._environment.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
        self._environment.globals.update(
            asset=assets.url,
            settings=settings,
            version=__version__,
            label=values.label,
            name_of=dimensions.name_of,
            map_box=worldmap.box,
        )

    def page(self, template: str, request: Request, status: int = 200, /, **context: Any) -> HTMLResponse:
        """Render in the request's language; ``_`` is that in the template."""
        words: Words = request.state.words
        text = self._environment.get_template(template).render(
            _=words,
            words=words,
            base=request.state.base,
            root=request.state.root,
            describe=words.describe,
            number=words.number,
            **context,
        )
        return HTMLResponse(text, status_code=status, headers={"Content-Language": words.language})

    def message(self, request: Request, status: int, title: str, text: str) -> HTMLResponse:
        return self.page("message.html", request, status, title=title, text=text)
