"""What a worker makes of the configuration."""

from __future__ import annotations

import resource
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.sites import SITE_YAML, configured
from vestibule.config import Config
from vestibule.config.models import Limits as Settings
from vestibule.protocol import ServerLimits
from vestibule.upstream import Limits
from vestibule.worker.limits import SPARE, bearable, open_files, server_limits, upstream_limits

# Each setting, an unusual value, and where it comes into force: fields of what the server and the upstream are held to.
LIMITS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "header_bytes": ("1001", 1001, ("server.header_bytes",)),
    "header_count": ("11", 11, ("server.header_count",)),
    "url_bytes": ("1002", 1002, ("server.url_bytes",)),
    "body_bytes": ("1003", 1003, ("server.body_bytes",)),
    "message_bytes": ("1004", 1004, ("upstream.message_bytes",)),
    "header_timeout": ("11s", 11, ("server.head",)),
    "idle_timeout": ("12s", 12, ("server.body", "server.write", "upstream.read", "upstream.write")),
    "min_rate": ("13", 13, ("server.rate",)),
    "total_timeout": ("14m", 840, ("server.total",)),
    "keep_alive": ("15s", 15, ("server.idle", "upstream.idle")),
    "requests": ("16", 16, ("server.requests",)),
    "pipeline": ("17", 17, ("server.pipeline",)),
    "connections": ("18", 18, ("server.connections",)),
    "upstream_connections": ("19", 19, ("upstream.connections",)),
    "queue_length": ("20", 20, ("upstream.waiting",)),
    "queue_timeout": ("21s", 21, ("upstream.queue",)),
    "connect_timeout": ("22s", 22, ("upstream.connect",)),
    "first_byte_timeout": ("23s", 23, ("upstream.first_byte",)),
    "upstream_header_bytes": ("1005", 1005, ("upstream.header_bytes",)),
    "upstream_header_count": ("24", 24, ("upstream.header_count",)),
}
ELSEWHERE = {"drain_timeout", "page_bytes", "spool"}
"""Those of the supervisor, the middleware and the recorder."""


def with_limits(folder: Path, limits: str) -> Config:
    return configured(folder, SITE_YAML + f"limits: {{{limits}}}\n")


def in_force(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, limits in (("server", server_limits(config)), ("upstream", upstream_limits(config))):
        found |= {f"{name}.{field.name}": getattr(limits, field.name) for field in fields(limits)}
    return found


def test_every_limit_is_known_here() -> None:
    assert set(LIMITS) | ELSEWHERE == set(Settings.model_fields)


@pytest.mark.parametrize("setting", LIMITS)
def test_a_limit_that_is_set_is_in_force(setting: str, tmp_path: Path) -> None:
    text, value, places = LIMITS[setting]
    before = in_force(configured(tmp_path))
    after = in_force(with_limits(tmp_path, f"{setting}: {text}"))
    assert {name: after[name] for name in after if after[name] != before[name]} == dict.fromkeys(places, value)


def test_defaults_bound_everything(tmp_path: Path) -> None:
    config = configured(tmp_path)
    for limits in (server_limits(config), upstream_limits(config), ServerLimits(), Limits()):
        for field in fields(limits):
            value = getattr(limits, field.name)
            assert 0 < value < 1 << 40, field.name


@pytest.mark.parametrize(("files", "expected"), [(1024, 480), (65536, 32736), (SPARE, 1), (0, 1)])
def test_connections_are_no_more_than_open_files_suffice_for(files: int, expected: int) -> None:
    assert bearable(files) == expected
    assert files < SPARE + 2 or 2 * expected + SPARE <= files


def test_few_open_files_mean_few_connections(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert server_limits(config).connections == min(4096, bearable(open_files()))
    assert open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
