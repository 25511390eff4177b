"""Reads pages as browsers do, and rewrites them while they stream by.

From the bytes up, each a layer on the one before: `copier` holds what is needed and lets the rest go, `long_tags`
bounds what is held, `tokenizer` finds tags, comments and raw text, `skimmer` settles most of a page at a glance (or the
compiled `scanner` does), `page` follows the tree, `parting` makes readings agree, `placing` puts our own markup in,
`disarming` and `scripts` hold things back, `rewriter` is all of it. What is held back `judge` finds out by asking the
`gate`, by `origins` where that does. `grammar`, `elements`, `glance` and `vocabulary` are the tables that they go by;
`encoding` comes first.
"""
