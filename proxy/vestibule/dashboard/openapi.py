"""The API's description in OpenAPI 3.1, made from the same tables that the API is held to."""

from __future__ import annotations

from typing import Any

from vestibule import __version__
from vestibule.core.trees import DEEPEST, LEVELS
from vestibule.dashboard.dimensions import DIMENSIONS, INTERVALS, KINDS

Json = dict[str, Any]


def describe(site: str, root: str = "") -> Json:
    """Return the document for a site. root: what its paths stand below, if anything."""
    return {
        "openapi": "3.1.0",
        "servers": [{"url": root or "/"}],
        "info": {
            "title": f"Statistics of {site}",
            "version": __version__,
            "description": "Counts only. What fewer visitors than the site's bound have in common is added up in "
            "`rare`. Days are those of the site's time zone; `from` and `to` are both included.",
        },
        "security": [{"bearer": []}, {"session": []}],
        "paths": {
            "/api/v1/breakdown": _get(
                "Values of a dimension with their counts, the largest first",
                [
                    _KIND,
                    _query("by", "The dimension.", {"type": "string", "enum": list(DIMENSIONS)}, required=True),
                    *_DAYS,
                    _WHERE,
                    _query("level", "A tree's level: a number from its top, or a name; not with where.", _LEVEL),
                    _query("limit", "Rows at most.", _LIMIT),
                    _FORMAT,
                ],
                {"application/json": _ref("Breakdown"), "text/csv": {"type": "string"}},
            ),
            "/api/v1/timeseries": _get(
                "Counts over time",
                [
                    _KIND,
                    _query("interval", "The step.", {"type": "string", "enum": list(INTERVALS)}, required=True),
                    *_DAYS,
                    _WHERE,
                    _FORMAT,
                ],
                {"application/json": _ref("Timeseries"), "text/csv": {"type": "string"}},
            ),
            "/api/v1/annotations": _get("Notes on days", _DAYS, {"application/json": _ref("Annotations")}),
            "/api/v1/export.zip": _get("Everything as CSV or JSON files in one archive", [*_DAYS, _FILES], _ZIP),
            "/api/v1/consent-records/{record}": _get(
                "A consent record by its number; for officers",
                [_RECORD],
                {"application/json": {"type": "object"}},
                {"404": "There is no record of this number"},
            ),
            "/api/v1/openapi.json": _get("This document", [], {"application/json": {"type": "object"}}),
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token may what its owner may."},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-vestibule-admin"},
            },
            "schemas": _SCHEMAS,
        },
        "x-kinds": {kind: list(dimensions) for kind, dimensions in KINDS.items()},
        "x-levels": {dimension: dict(named) for dimension, named in LEVELS.items()},
    }


def _query(name: str, description: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": schema}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _get(summary: str, parameters: list[Json], content: Json, more: dict[str, str] | None = None) -> Json:
    errors = {
        "400": "A parameter is wrong; `errors` names each",
        "401": "Sign in, or send a token",
        "403": "The role is not enough",
        "503": "The store does not answer",
        **(more or {}),
    }
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    return {
        "get": {
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": {
                    "description": "As asked for",
                    "headers": {"ETag": {"schema": {"type": "string"}}},
                    "content": {media: {"schema": schema} for media, schema in content.items()},
                },
                "304": {"description": "As the ETag in If-None-Match says"},
                **{status: {"description": text, "content": problem} for status, text in errors.items()},
            },
        }
    }


_LEVEL_NAMES = list(dict.fromkeys(name for named in LEVELS.values() for name in named))
_LEVEL: Json = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": DEEPEST}, {"type": "string", "enum": _LEVEL_NAMES}],
    "description": "Which names a dimension's levels have is told by `x-levels`.",
}
_LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
_ZIP: Json = {"application/zip": {"type": "string", "contentMediaType": "application/zip"}}
_NUMBER: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_RECORD: Json = {"name": "record", "in": "path", "required": True, "schema": _NUMBER}
_COUNT: Json = {"type": "integer", "minimum": 0}
_KIND = _query("kind", "The kind of facts.", {"type": "string", "enum": list(KINDS)}, required=True)
_DAYS = [
    _query("from", "The first day; `to` if left out.", {"type": "string", "format": "date"}),
    _query("to", "The last day; today if left out.", {"type": "string", "format": "date"}),
]
_WHERE = _query("where", "The one filter: DIMENSION:VALUE.", {"type": "string", "examples": ["country:DE"]})
_FILES = _query("format", "Of the files.", {"type": "string", "enum": ["csv", "json"], "default": "csv"})
_FORMAT = _query("format", "Before Accept.", {"type": "string", "enum": ["json", "csv"]})


def _object(properties: Json, *optional: str) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_SCHEMAS: Json = {
    "Breakdown": _object(
        {
            "rows": {
                "type": "array",
                "items": _object({"value": {"type": "string"}, "count": _COUNT, "visitors": _COUNT}),
            },
            "rare": _object({"count": _COUNT, "visitors": _COUNT}),
            "provisional": {"type": "boolean"},
        }
    ),
    "Timeseries": _object(
        {
            "points": {
                "type": "array",
                "items": _object({"time": {"type": "string"}, "count": _COUNT, "visitors": _COUNT}, "visitors"),
            },
            "provisional": {"type": "boolean"},
        },
        "provisional",
    ),
    "Annotations": _object(
        {
            "annotations": {
                "type": "array",
                "items": _object({name: {"type": "string"} for name in ("id", "day", "text", "by")}),
            }
        }
    ),
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "What programs should look at; it stays the same."},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": _object({"parameter": {"type": "string"}, "detail": {"type": "string"}}),
            },
        },
        "detail",
        "errors",
    ),
}
