"""Jinja2 as the admin app uses it: everything escaped, every name defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from vestibule import __version__
from vestibule.dashboard import dimensions, periods, values
from vestibule.dashboard.assets import Assets
from vestibule.dashboard.settings import Settings


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
        self._environment.filters["number"] = values.number
        self._environment.filters["visible"] = values.visible
        self._environment.globals.update(
            asset=assets.url,
            settings=settings,
            version=__version__,
            describe=periods.describe,
            label=values.label,
            name_of=dimensions.name_of,
        )

    def page(self, template: str, status: int = 200, /, **context: Any) -> HTMLResponse:
        return HTMLResponse(self._environment.get_template(template).render(**context), status_code=status)

    def message(self, status: int, title: str, text: str) -> HTMLResponse:
        return self.page("message.html", status, title=title, text=text)
