"""The processors that cards may be forwarded to: named at the enclave's start, and never by a message.

A message names a recipient; whose key that is was decided by whoever starts the enclave. So a caller who was broken
into cannot have cards encrypted to a key of his own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from enclave.card_vault import Recipient
from enclave.jwe import p256_public_key

RECIPIENTS_MAX = 16

_NAME = re.compile(r"\A[a-z][a-z0-9_.-]{0,31}\Z")


class RecipientRefused(Exception):
    """A recipient is not said as NAME=FILE, is named twice, or its file holds no P-256 public key."""


def read_recipients(said: Sequence[str]) -> Mapping[str, Recipient]:
    """The recipients of `--card-recipient NAME=FILE.pem`, by name.

    Raises:
        RecipientRefused: one of them is not to be used; then none is.
    """
    if len(said) > RECIPIENTS_MAX:
        raise RecipientRefused(f"there are at most {RECIPIENTS_MAX} card recipients")
    recipients: dict[str, Recipient] = {}
    for each in said:
        recipient = _read_recipient(each)
        if recipient.name in recipients:
            raise RecipientRefused(f"the card recipient {recipient.name} is named twice")
        recipients[recipient.name] = recipient
    return recipients


def _read_recipient(said: str) -> Recipient:
    name, _, file = said.partition("=")
    if not _NAME.match(name) or not file:
        raise RecipientRefused("a card recipient is said as NAME=FILE.pem")
    try:
        pem = Path(file).read_text(encoding="ascii")
        p256_public_key(pem)
    except (OSError, ValueError) as error:
        raise RecipientRefused(f"the key of the card recipient {name} cannot be used") from error
    return Recipient(name=name, public_key_pem=pem)
