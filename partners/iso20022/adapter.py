"""The adapter of every bank that takes and leaves files: ISO 20022 messages behind the contract.

Declares and translates; each method only names the file that knows. Holds no state, opens nothing, reads no clock,
signs nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from partners.contract import (
    Acknowledgement,
    Answer,
    Instruction,
    Manifest,
    Notice,
    Outcome,
    PaymentStatus,
    Reason,
    Request,
    Statement,
)
from partners.iso20022 import notices, orders, reasons, statements
from partners.iso20022.manifest import MANIFEST


class Iso20022:
    """SEPA credit transfers and instant payments through the files of ISO 20022."""

    def manifest(self) -> Manifest:
        """What is true of every bank that is reached so."""
        return MANIFEST

    def prepare(self, instruction: Instruction) -> Request:
        """The order as a file: the same instruction always gives the same bytes.

        Raises: InvalidValue when the instruction cannot be said in SEPA's messages (naming the field).
        """
        return orders.prepare(instruction)

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        """What it means that the file lies where the bank takes it up."""
        return orders.interpret(instruction, answer)

    def status_request(
        self,
        instruction: Instruction,
        *,
        account_id: str,
        since: datetime,
        until: datetime,
        page: int,
    ) -> None:
        """Nobody can be asked: the bank leaves word when it has something to say."""

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:  # noqa: ARG002
        """Nothing was asked."""
        return ()

    def status_continues(self, answer: Answer) -> bool:  # noqa: ARG002 - the contract's
        """Nothing was asked."""
        return False

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        """Raises: BadSignature unless the bank signed exactly these bytes."""
        notices.verify_notice(headers=headers, body=body, public_key_pem=public_key_pem)

    def parse_notice(self, body: bytes) -> Notice:
        """What a file says. Raises: Unreadable."""
        return notices.parse_notice(body)

    def acknowledge(self, body: bytes) -> Acknowledgement | None:  # noqa: ARG002 - the contract's
        """A bank that leaves a file waits for nothing."""
        return None

    def statement_request(self, *, starts_at: datetime, ends_at: datetime) -> Request | None:  # noqa: ARG002
        """Statements come unasked."""
        return None

    def statement_page_request(self, message_id: str, page: int) -> Request | None:  # noqa: ARG002
        """Statements come whole."""
        return None

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        """Every statement of these files. Raises: Unreadable."""
        return statements.parse_statement(document, *further_pages)

    def explain(self, code: str) -> Reason:
        """What a code means; an unlisted code has fault "unknown"."""
        return reasons.explain(code)

    def is_notice(self, name: str) -> bool:
        """Whether a file that lies in our inbox is a message, by its name."""
        return notices.is_notice(name)
