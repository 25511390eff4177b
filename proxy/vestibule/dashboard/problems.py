"""Errors of the API as RFC 9457 describes them: ``application/problem+json``, with a ``code`` that stays the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import JSONResponse


@dataclass(frozen=True, slots=True)
class Fault:
    """One parameter that is wrong, and how."""

    parameter: str
    detail: str


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem(
    status: int,
    code: str,
    title: str,
    detail: str = "",
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """``code`` is what programs should look at; ``title`` and ``detail`` are for people."""
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "code": code}
    if detail:
        body["detail"] = detail
    if faults:
        body["errors"] = [{"parameter": fault.parameter, "detail": fault.detail} for fault in faults]
    return ProblemResponse(body, status_code=status, headers=headers)
