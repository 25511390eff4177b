"""How our parts look: the theme of the configuration as CSS custom properties before the shipped style.

The values are of strict grammars (colours, fonts, whole numbers), so that none can bring in more than it is for.
"""

from __future__ import annotations

from vestibule.assets import static
from vestibule.config.models import Banner, Colours, Theme

_ROOTS = "#vestibule,#vestibule-notice,#vestibule-settings,.vestibule-placeholder"
_NAMES = {
    "background": "back",
    "text": "text",
    "soft": "soft",
    "line": "line",
    "accent": "accent",
    "accept": "yes",
    "on_accept": "on-yes",
    "reject": "no",
    "on_reject": "on-no",
}
_PLACES = {
    "bottom": "",
    "corner": "#vestibule{inset-inline:auto 0;max-width:27rem}",
    "top": "#vestibule{top:0;bottom:auto}#vestibule-notice{top:auto;bottom:0}",
}


_LINKS = {
    "footer": "",
    "none": "",
    "corner": "#vestibule-settings#vestibule-settings{position:fixed;z-index:2147482000;bottom:.5rem;"
    "inset-inline-start:.5rem;padding:.1rem .4rem;border:1px solid var(--v-line);border-radius:var(--v-radius);"
    "box-shadow:0 2px 10px rgb(15 23 42/.16)}",
}


def of_banner(banner: Banner) -> str:
    """The theme for what stands in the site's pages, and where it stands."""
    return _properties(_ROOTS, banner.theme) + _PLACES[banner.theme.position] + _LINKS[banner.link.place]


def of_centre(theme: Theme) -> str:
    """The theme for pages of our own."""
    return _properties(":root", theme)


def _properties(roots: str, theme: Theme) -> str:
    shape = f"--v-radius:{theme.radius}px;--v-font:{theme.font}"
    dark = f"@media(prefers-color-scheme:dark){{{roots}{{{_colours(theme.dark)}}}}}"
    return f"{roots}{{{_colours(theme.light)};{shape}}}{dark}"


def _colours(colours: Colours) -> str:
    """What follows another colour is left to the style to say."""
    found = colours.resolved()
    if found["on_reject"] == found["on_accept"]:
        del found["on_reject"]
    if found["reject"] == found["accept"]:
        del found["reject"]
    if found["accept"] == found["accent"]:
        del found["accept"]
    return ";".join(f"--v-{_NAMES[name]}:{value}" for name, value in found.items())


def style(name: str, theme: str) -> bytes:
    """A shipped style, then a theme, without its indentation and comments: written to be read, sent to be small."""
    lines = (line.strip() for line in (static() / "banner" / name).read_text(encoding="utf-8").splitlines())
    return ("".join(line for line in lines if not line.startswith("/*")) + theme).encode()
