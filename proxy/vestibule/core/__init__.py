"""Decisions, and nothing else: no sockets, files, clocks, randomness or environment; time and nonces are passed in.

- what a visitor agreed to: `purposes`, `consent`, `receipts`, `revocations`, `sign_in`, `keys`, `secret`
- what crosses the proxy: `headers`, `forwarding`, `caching`, `hints`, `codings`, `contents`, `urls`; of that cookies:
  `cookies`, `cookie_dates`, `cookie_policy`, `jar`; and pages: `html`, `csp`, `sources`
- what is held back: `services`, `trackers`, `tables`, `signatures`, `patterns`, `blocklist`, `filters`
- what is counted: `hits`, `beacons`, `pixels`, `seen`, `visit`, `drops`, `dimensions`; and what that is looked up in:
  `agents`, `campaigns`, `networks`, `pages`, `referrers`, `trees`
- what is told of it: `partials`, `cells`, `values`, `folding`, `pairing`, `nesting`, `kind`, `leaving`, `release`
- and of ourselves: `meter`, `memo`, `errors`; colours: `contrast`
"""
