"""What an adapter is: it declares what differs between banks, and translates both ways. It does no I/O.

An adapter never opens a socket, reads a clock or holds a key. It turns an instruction into a request and an
answer into an outcome; the host (`partners.host`) owns transport, signing, retries, clocks and logging, and it
alone classifies silence. No method here has a default body: forgetting one does not type-check, and is found
when the adapter is loaded.

What a bank may offer beyond this is in `capabilities`, one protocol for each purpose.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ledger.core.statement import Statement
from partners.contract.manifest import Manifest
from partners.contract.messages import Answer, Instruction, Request
from partners.contract.notices import Acknowledgement, Notice
from partners.contract.outcomes import Outcome, PaymentStatus, Reason


class Adapter(Protocol):
    """One bank's dialect, as pure functions."""

    def manifest(self) -> Manifest:
        """What is true of this bank."""

    def prepare(self, instruction: Instruction) -> Request:
        """The order in the bank's words: the same instruction always gives the same bytes.

        Raises: InvalidValue when the instruction cannot be said in this dialect (naming the field).
        """

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        """What the bank's answer to an order means. Anything not explicit is Unknown."""

    def status_request(
        self, instruction: Instruction, *, account_id: str, since: datetime, until: datetime, page: int
    ) -> Request | None:
        """The enquiry that may find a payment again by our own reference. `account_id` is the bank's id.

        None: this bank cannot be asked; its notices and statements have to say.
        """

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        """Every payment in the answer that carries our reference. Raises: Unreadable."""

    def status_continues(self, answer: Answer) -> bool:
        """Whether a further page may follow: a payment is not found only when the last page is read.

        Raises: Unreadable.
        """

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        """Raises: BadSignature unless the bank signed exactly these bytes."""

    def parse_notice(self, body: bytes) -> Notice:
        """What a verified notice says. Raises: Unreadable."""

    def acknowledge(self, body: bytes) -> Acknowledgement | None:
        """The answer owed to a verified notice; None: the bank waits for none. Raises: Unreadable."""

    def statement_request(self, *, starts_at: datetime, ends_at: datetime) -> Request | None:
        """Asks for the statements of a window; None: they come unasked."""

    def statement_page_request(self, message_id: str, page: int) -> Request | None:
        """Asks for one page of a ready statement; None: they come whole."""

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        """Every statement of one message, given all of its pages in any order. Raises: Unreadable."""

    def explain(self, code: str) -> Reason:
        """What one of this bank's codes means; an unlisted code has fault "unknown"."""
