"""One JSON object a line: nginx with its variables as keys, and Caddy's access log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vestibule.core.agents import UNRECORDED
from vestibule.core.visit import Hit, is_asset
from vestibule.recorder.logs import fields
from vestibule.recorder.logs.fields import Clock, UnreadableError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(line: str) -> Any:
    """The value of a line. Raises UnreadableError, also where it is nested deeper than anything that is meant to be
    read, and where a text in it has half a character, which no other program can read."""
    try:
        value = json.loads(line)
        if _SURROGATE.search(line):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise UnreadableError("not JSON") from None
    return value


class Json:
    """One JSON object a line: nginx with variables as keys, or Caddy's access log."""

    def __init__(self, site: str, caddy: bool) -> None:
        self.name = "caddy" if caddy else "nginx"
        self._site = site
        self._read = self._caddy if caddy else self._nginx
        self._clock = Clock()

    def parse(self, line: str) -> Hit | None:
        entry = loads(line)
        if not isinstance(entry, dict):
            raise UnreadableError("not a JSON object")
        return self._read(entry)

    def _nginx(self, entry: dict[str, Any]) -> Hit | None:
        method, target = (
            fields.text(entry, "request_method", "method"),
            fields.text(entry, "request_uri", "uri", "path"),
        )
        request = fields.text(entry, "request").split(" ")
        if not target and len(request) > 1:
            method, target = request[0], request[1]
        named, path, query = fields.target(target)
        status = fields.number(entry, "status")
        if is_asset(path, status):
            return None
        agent = entry.get("http_user_agent", entry.get("user_agent", UNRECORDED))
        return Hit(
            site=self._site,
            time=self._time(entry, "msec", "time_iso8601", "@timestamp", "timestamp", "time", "ts", "time_local"),
            address=fields.address(fields.text(entry, "remote_addr", "client_ip", "remote_ip", "client")),
            method=method or "GET",
            host=named or fields.host(fields.text(entry, "http_host", "host", "server_name", "vhost")) or self._site,
            path=path,
            query=query or fields.text(entry, "args", "query_string"),
            status=status,
            content_type=fields.text(entry, "sent_http_content_type", "content_type"),
            size=fields.number(entry, "body_bytes_sent", "bytes_sent", "bytes", default=0),
            agent=fields.field(str(agent)),
            referrer=fields.text(entry, "http_referer", "http_referrer", "referer", "referrer"),
            language=fields.text(entry, "http_accept_language"),
            accept=fields.text(entry, "http_accept"),
            **fields.signals(lambda name: fields.text(entry, f"http_{name.lower().replace('-', '_')}")),
        )

    def _time(self, entry: Mapping[str, Any], *keys: str) -> float:
        stamp = fields.text(entry, *keys)
        if not stamp:
            raise UnreadableError("no time")
        if stamp[:1].isdigit() and stamp[2:3] == "/":
            return self._clock(stamp)
        return fields.time(stamp)

    def _caddy(self, entry: dict[str, Any]) -> Hit | None:
        request = entry.get("request")
        if not isinstance(request, dict):
            if "msg" in entry:
                return None
            raise UnreadableError("no request in the entry")
        named, path, query = fields.target(fields.text(request, "uri"))
        status = fields.number(entry, "status")
        if is_asset(path, status):
            return None
        headers, answered = _headers(request, "headers"), _headers(entry, "resp_headers")
        return Hit(
            site=self._site,
            time=self._time(entry, "ts"),
            address=fields.address(fields.text(request, "client_ip", "remote_ip", "remote_addr")),
            method=fields.text(request, "method") or "GET",
            host=named or fields.host(fields.text(request, "host")) or self._site,
            path=path,
            query=query,
            status=status,
            content_type=answered.get("content-type", ""),
            size=fields.number(entry, "size", default=0),
            agent=headers.get("user-agent", ""),
            language=headers.get("accept-language", ""),
            referrer=headers.get("referer", ""),
            accept=headers.get("accept", ""),
            **fields.signals(lambda name: headers.get(name.lower(), "")),
        )


def _headers(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    found = entry.get(key)
    if not isinstance(found, dict):
        return {}
    return {
        str(name).lower(): ", ".join(map(str, values)) if isinstance(values, list) else str(values)
        for name, values in found.items()
    }
