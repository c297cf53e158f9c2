"""JSON in and out without a floating-point number, and refusals as problem details (RFC 7807)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NoReturn, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | Decimal | None"
Body = TypeVar("Body", bound=BaseModel)

STATUS_TITLES = {
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bank answers; `payment_id` names the order that this answer is about, if any."""

    status: int
    body: Json = None
    xml: bytes | None = None
    payment_id: str | None = None


@dataclass(slots=True)
class RequestRefusedError(Exception):
    """The bank refuses a request, and nothing of it was done.

    Without a title the answer carries the status alone, as the bank does for bad tokens and reused ids.
    """

    status: int
    title: str | None = None
    detail: str | None = None
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    retry_after_s: int | None = None

    def problem(self) -> Json:
        """The answer's body."""
        content: dict[str, Json] = {}
        if self.title is not None:
            content = {"type": "about:blank", "title": self.title}
        content["status"] = self.status
        if self.detail is not None:
            content["detail"] = self.detail
        if self.errors:
            content["errors"] = self.errors
        return content


def encode(value: Json) -> str:
    """A value as compact JSON text; a Decimal is written digit for digit."""
    match value:
        case None | str() | int():
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return f"{value:f}"
        case Mapping():
            members = (
                f"{json.dumps(name, ensure_ascii=False)}:{encode(item)}" for name, item in value.items()
            )
            return "{" + ",".join(members) + "}"
        case _:
            return "[" + ",".join(encode(item) for item in value) + "]"


def read_body(model: type[Body], content: bytes) -> Body:
    """A request's body as its model.

    Raises: RequestRefusedError (400) when it is not JSON or breaks a rule of the model.
    """
    try:
        document = json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)
        encode(document).encode()  # half a surrogate pair is legal JSON and no text; it fails here
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(400, "The request body is not valid JSON.") from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise RequestRefusedError(
            400, "One or more validation errors occurred.", errors=_errors_by_field(error)
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _errors_by_field(error: ValidationError) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"]) or "$"
        found.setdefault(name, []).append(item["msg"])
    return found
