"""The bodies that the developer's side of the bank takes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Reason = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,4}\Z")]


class Control(BaseModel):
    """A body without room for a field that nobody knows."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, regex_engine="python-re"
    )


class ClientOrder(Control):
    """POST /sandbox/clients."""

    token: Text
    public_key_pem: Text


class WebhookOrder(Control):
    """POST /sandbox/webhooks."""

    url: Annotated[str, Field(pattern=r"^https?://\S+\Z", max_length=2_000)]


class ClockOrder(Control):
    """POST /sandbox/clock."""

    now: Text


class KeyOrder(Control):
    """POST /sandbox/webhook-key."""

    published_for_hours: Annotated[int, Field(ge=0, le=8_784)] = 24
