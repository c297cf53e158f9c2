"""Problems: how errors and refusals look to callers (RFC 9457). The one place where HTTP statuses are decided.

A problem has a stable `code`, a `detail` for people, the `errors` by field where there are any, and `retry`: whether
trying again can help (`never`, `same_key`, `new_key`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ledger.core.canonical import Canonical
from ledger.core.clearance import Finding
from ledger.core.commands import Refusal, Refused
from ledger.core.declined import Declined
from ledger.core.errors import Conflict, InvalidValue, NotFound, TallystickError

MEDIA_TYPE = "application/problem+json"
NAME_MAX = 64  # an unknown field's name is the caller's own text
ERRORS_MAX = 50  # a batch may be wrong in thousands of places
KIND_TAG = "kind:"
"""Stands before the name of the kind that a command was taken for, where pydantic tells what is wrong with it."""
_BASE = "https://tallystick.dev/problems/"

# Declines whose fault lies in what was asked, not in the state that it met: asking again never helps.
_UNPROCESSABLE = frozenset(
    {
        "too_many_lines",
        "line_repeated",
        "line_does_not_add_up",
        "split_does_not_add_up",
        "cart_does_not_add_up",
        "expires_in_the_past",
        "amount_out_of_range",
        "currency_differs",
        "line_unknown",
        "commission_missing",
        "split_party_unknown",
        "role_wrong",
        "rail_unknown",
        "not_sepa_text",
        "send_at_out_of_range",
        "payout_account_missing",
    }
)

# What the book refuses for the state that it met, which may be another one the next time. Nothing was done, so the id
# of the command is still free.
_MAY_PASS = frozenset(
    {
        Refusal.HOLD_NOT_EXPIRED,
        Refusal.ACCOUNT_FROZEN,
        Refusal.NOTHING_AVAILABLE,
        Refusal.INSUFFICIENT_FUNDS,
        Refusal.BALANCE_CAP,
    }
)
# What the book compares, where the request calls it something else. An id that another programme uses is taken: what
# for is not told.
_WIRE_NAMES = {"programme_id": "id", "up_to": "legs", "all": "amount_minor"}


@dataclass(
    slots=True, eq=False
)  # not frozen: Python itself writes to an exception that passes a context manager
class Problem(Exception):
    """A problem on its way to the caller."""

    status: int
    code: str
    detail: str
    errors: tuple[Mapping[str, Canonical], ...] = ()
    retry: str = "never"
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Canonical]:
        """The members of the problem document."""
        body: dict[str, Canonical] = {
            "type": f"{_BASE}{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "retry": self.retry,
        }
        return body | ({"errors": list(self.errors)} if self.errors else {})

    def response(self) -> Response:
        """The problem as an answer."""
        content = json.dumps(self.body(), ensure_ascii=True, allow_nan=False)
        return Response(content, status_code=self.status, media_type=MEDIA_TYPE, headers=dict(self.headers))


def not_found(noun: str) -> Problem:
    """Nothing of that id, or it belongs to another programme: the caller is not told which."""
    return Problem(404, "not_found", f"There is no such {noun} in this programme.")


def in_field(field: str, code: str, detail: str) -> tuple[Mapping[str, Canonical], ...]:
    """What was wrong with one field of the request."""
    return ({"field": field, "code": code, "detail": detail},)


def from_declined(declined: Declined) -> Problem:
    """A flow's refusal."""
    if declined.code.endswith("_unknown") and declined.code not in _UNPROCESSABLE:
        status = 404
    else:
        status = 422 if declined.code in _UNPROCESSABLE else 409
    errors = in_field(declined.field, declined.code, declined.detail) if declined.field else ()
    retry = "new_key" if declined.code == "insufficient_funds" else "never"
    return Problem(status, declined.code, declined.detail, errors, retry)


def from_refused(refused: Refused) -> Problem:
    """The book's refusal of a command that a caller wrote himself."""
    detail = f"The book refused: {refused.detail}."
    if refused.refusal is Refusal.ID_REUSED:
        field = wire_name(refused.field)
        return Problem(409, refused.refusal.value, detail, in_field(field, refused.refusal.value, detail))
    retry = "same_key" if refused.refusal in _MAY_PASS else "never"
    return Problem(422, refused.refusal.value, detail, retry=retry)


def wire_name(field: str | None) -> str:
    """What the request calls a field of a command."""
    return _WIRE_NAMES.get(field or "", field or "id")


def from_findings(case_id: str, findings: Sequence[Finding], *, held: bool) -> Problem:
    """The gate's refusal, with what it found. Held: a person has to decide first."""
    code = "held_for_review" if held else "refused_by_gate"
    errors = tuple({"field": "", "code": finding.rule, **finding.as_data()} for finding in findings)
    detail = "; ".join(finding.detail for finding in findings)
    return Problem(403, code, f"{detail} (case {case_id})", errors)


def from_error(error: TallystickError) -> Problem:
    """An error that a handler raised."""
    match error:
        case NotFound():
            return Problem(404, error.code, error.detail)
        case InvalidValue():
            return Problem(
                422, error.code, error.detail, in_field(error.field or "", error.code, error.detail)
            )
        case Conflict():
            return Problem(409, error.code, error.detail)
        case _:
            return Problem(500, "internal", "Something went wrong on our side.")


async def on_problem(_request: Request, problem: Exception) -> Response:
    """FastAPI's hook for problems."""
    assert isinstance(problem, Problem)
    return problem.response()


async def on_domain_error(_request: Request, error: Exception) -> Response:
    """FastAPI's hook for the ledger's own errors."""
    assert isinstance(error, TallystickError)
    return from_error(error).response()


async def on_invalid(_request: Request, error: Exception) -> Response:
    """FastAPI's hook for requests that do not fit their schema. Never echoes what was sent."""
    assert isinstance(error, RequestValidationError)
    errors = tuple(
        {"field": _field(item["loc"], item["type"]), "code": str(item["type"]), "detail": str(item["msg"])}
        for item in error.errors()[:ERRORS_MAX]
    )
    named = ", ".join(str(item["field"]) for item in errors[:5])
    return Problem(422, "invalid_request", f"The request is not valid: {named}.", errors).response()


async def on_http(_request: Request, error: Exception) -> Response:
    """FastAPI's hook for what the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return Problem(error.status_code, code, str(error.detail), headers=error.headers or {}).response()


async def on_unexpected(_request: Request, _error: Exception) -> Response:
    """The last hook: says nothing of what went wrong; the log does."""
    return Problem(500, "internal", "Something went wrong on our side.", retry="same_key").response()


def _field(location: Sequence[int | str], error_type: str) -> str:
    """Where it stood, as the caller wrote it. The place of a command that is of no kind is its kind."""
    inside = location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
    parts = [
        str(part)[:NAME_MAX] for part in inside if part != "[key]" and not str(part).startswith(KIND_TAG)
    ]
    return ".".join([*parts, "kind"] if error_type == "unknown_kind" else parts) or "body"
