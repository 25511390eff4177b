"""What visitors see: the banner in pages, and what is answered under ``/_privacy``.

A request to an address of ours is an `exchange`; `endpoints` knows who answers it: `choosing`, `rights`, `signals` or
`files`. What holds for all of them under one configuration is `policy`; what is known of who asks is `visitor`.
"""
