"""The one process that holds the store: hits become facts, facts cells, and cells go to disk and then to the store.

`service` is a site's recorder, `sites` all of them in one process; `backend` and `office` answer what is asked of them.
"""
