"""Looks at a site from outside: which third parties it loads, which cookies and storage it uses.

``vestibule scan`` holds that against the configuration, ``vestibule init`` writes a first one from it. The order of
work: ``robots`` and ``fetching`` read politely, ``crawling`` chooses pages, ``reading`` tells what a page's markup
loads, ``browsing`` what a real browser does with it; all of it lands in ``sightings``, is judged in ``findings``, and
told by ``reports`` or ``drafting``.
"""

from __future__ import annotations
