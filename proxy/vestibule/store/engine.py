"""Opens the store: ClickHouse over HTTP, or chDB, which is ClickHouse inside this process. One client for both.

This is the only module that loads chDB, and it takes care of what is loaded with it: clickhouse-connect and chDB import
pandas and pyarrow where they find them, which nothing here uses and which would cost another 95 MB of memory.
"""

from __future__ import annotations

import importlib.util
import re
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from vestibule.core.errors import StoreError
from vestibule.store.layout import Cluster, Layout, Single, identifier

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DATABASE = "vestibule"
_CONNECT_TIMEOUT = 5
_QUERY_TIMEOUT = 60
_MOST_CAUSES = 10
_EMBEDDED: dict[str, Any] = {"max_threads": 2}
"""Of a question. The engine would take as many as the machine has processors; but the recorder keeps to one, where each
further thread costs more than it brings."""
_CODE = re.compile(r"Code: (\d+)\b")
_STATUS = re.compile(r"HTTP status \d{3}\b")
_WORDS: Mapping[str, str] = {
    "Unexpected response to server version query": "no ClickHouse server",
    "BadStatusLine": "no ClickHouse server",
    "Connection aborted": "the connection was closed",
    "Connection closed": "the connection was closed",
}
"""Parts of the client's own words, and ours for them."""
_NAME = re.compile(r"\(([A-Z][A-Z_]{3,})\)")


def layout_of(dsn: str) -> Layout:
    """How the tables of a store lie: ``cluster=`` names a cluster."""
    parts = urlsplit(dsn)
    cluster = dict(parse_qsl(parts.query)).get("cluster", "")
    if not cluster or parts.scheme == "chdb":
        return Single(alone=parts.scheme == "chdb")
    return Cluster(cluster, unquote(parts.path.strip("/")) or DATABASE)


def open_client(dsn: str) -> Client:
    """Connect to ``chdb:///PATH`` or ``clickhouse://USER:PASSWORD@HOST:PORT/DATABASE?secure=true&cluster=NAME``.

    The database is made if it is not there. Raises StoreError, in one line and without the password, when that fails.
    """
    parts = urlsplit(dsn)
    if parts.scheme == "chdb":
        return _open_embedded(dsn, parts.netloc + unquote(parts.path))
    if parts.scheme in ("clickhouse", "http", "https"):
        return _open_server(dsn)
    raise StoreError("store: must be chdb:///PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE")


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn whatever the client raises into StoreError. Of the server's message only its code and name are kept: the
    rest may quote values."""
    from clickhouse_connect.driver.exceptions import Error

    try:
        yield
    except Error as error:
        raise StoreError(f"store: {what}: {_reason(error)}") from None
    except (OSError, RuntimeError) as error:
        raise StoreError(f"store: {what}: {_system_reason(error)}") from None


def _open_embedded(dsn: str, path: str) -> Client:
    if importlib.util.find_spec("chdb") is None:
        raise StoreError(f'store: {dsn} needs the extra "embedded": pip install "vestibule[embedded]"')
    folder = Path(path)
    if not path.startswith("/") or folder == Path("/"):
        raise StoreError(f"store: {dsn}: chdb:/// takes an absolute path of a folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store: {folder}: {error.strerror}") from None
    _leave_out("pandas", "pyarrow")
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import Error

    try:
        client = clickhouse_connect.get_client(interface="chdb", path=str(folder), settings=_EMBEDDED)
    except Error as error:
        raise StoreError(
            f"store: {folder} cannot be opened; a chDB folder belongs to one process at a time: is another using it? "
            f"({_reason(error)})"
        ) from None
    return _use(client, DATABASE, layout_of(dsn))


def _open_server(dsn: str) -> Client:
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    query.pop("cluster", None)
    secure = query.pop("secure", "") == "true" or parts.scheme == "https"
    database = unquote(parts.path.strip("/")) or DATABASE
    shown = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    _leave_out("pandas", "pyarrow")
    import clickhouse_connect

    settings: dict[str, Any] = {"dsn": f"clickhouse://localhost?{urlencode(query)}"} if query else {}
    with refusals(f"{shown} does not answer"):
        client = clickhouse_connect.get_client(
            **settings,
            host=parts.hostname or "localhost",
            port=parts.port or 0,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or ""),
            interface="https" if secure else "http",
            connect_timeout=_CONNECT_TIMEOUT,
            send_receive_timeout=_QUERY_TIMEOUT,
            autogenerate_session_id=False,
            settings=layout_of(dsn).settings,
        )
    return _use(client, database, layout_of(dsn))


def _use(client: Client, database: str, layout: Layout) -> Client:
    with refusals(f"the database {database} cannot be made"):
        client.command(layout.database(database))
        if is_embedded(client):
            client.command(f"USE {identifier(database)}")
        client.database = database
    return client


def is_embedded(client: Client) -> bool:
    """Whether the engine is in this process."""
    return client.uri.startswith("chdb:")


def _leave_out(*modules: str) -> None:
    for module in modules:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]


def _reason(error: Exception) -> str:
    text = str(error)
    code, name = _CODE.search(text), _NAME.search(text)
    if code is not None:
        return f"{name.group(1) if name else 'error'} {code.group(1)}"
    status = _STATUS.search(text)
    if status is not None:
        return status.group(0)
    return next((ours for part, ours in _WORDS.items() if part in text), "") or _system_reason(error)


def _system_reason(error: BaseException) -> str:
    """What the system says beneath a client's error, such as ``connection refused``; else the error's kind."""
    at: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if at is None:
            break
        if isinstance(at, TimeoutError):
            return "timed out"
        if isinstance(at, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {at.verify_message}"
        if isinstance(at, ssl.SSLError):
            return "it does not speak TLS"
        if isinstance(at, OSError) and at.strerror:
            return at.strerror[0].lower() + at.strerror[1:]
        at = at.__cause__ or at.__context__
    return type(error).__name__
