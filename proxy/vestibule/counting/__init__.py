"""The recorder process: recorders, their socket and the admin app.

The supervisor starts it as ``python -m vestibule.counting``. What it is composed of stands in `counting.Counting`; a
command that finds no such process running composes the same for as long as it needs it: see `local.local`. How it keeps
out of the way of pages stands in `processor`.
"""
