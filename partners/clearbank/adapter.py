"""The ClearBank adapter: the bank's euro API behind the contract that every bank is used through.

Declares and translates; each method only names the file that knows. Holds no state, opens nothing, reads no
clock, signs nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from partners.clearbank import (
    notices,
    payees,
    payments,
    reasons,
    statement_pages,
    statements,
    status,
    virtual_ibans,
)
from partners.clearbank.manifest import MANIFEST
from partners.contract import (
    Acknowledgement,
    Answer,
    Instruction,
    Manifest,
    Notice,
    Outcome,
    PayeeAnswer,
    PaymentStatus,
    Reason,
    Request,
    Statement,
    VirtualIban,
)


class ClearBank:
    """SEPA credit transfers and instant payments through ClearBank Europe."""

    def manifest(self) -> Manifest:
        """What is true of this bank."""
        return MANIFEST

    def prepare(self, instruction: Instruction) -> Request:
        """The order in the bank's words: the same instruction always gives the same bytes.

        Raises: InvalidValue when the instruction cannot be said in this dialect (naming the field).
        """
        return payments.prepare(instruction)

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:  # noqa: ARG002
        """What the bank's answer to an order means. Anything not explicit is Unknown.

        The bank's receipt repeats nothing of the order, so there is nothing in it to compare.
        """
        return payments.interpret(answer)

    def status_request(
        self, instruction: Instruction, *, account_id: str, since: datetime, until: datetime, page: int
    ) -> Request:
        """The enquiry that may find a payment again by our own reference. `account_id` is the bank's id.

        Raises: InvalidValue when the account id, the page or a time cannot be asked.
        """
        return status.status_request(instruction, account_id=account_id, since=since, until=until, page=page)

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        """Every payment in the answer that carries our reference. Raises: Unreadable."""
        return status.interpret_status(instruction, answer)

    def status_continues(self, answer: Answer) -> bool:
        """Whether a further page may follow this one. Raises: Unreadable."""
        return status.status_continues(answer)

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        """Raises: BadSignature unless the bank signed exactly these bytes."""
        notices.verify_notice(headers=headers, body=body, public_key_pem=public_key_pem)

    def parse_notice(self, body: bytes) -> Notice:
        """What a verified webhook says. Raises: Unreadable."""
        return notices.parse_notice(body)

    def acknowledge(self, body: bytes) -> Acknowledgement:
        """The answer owed to a verified webhook. Raises: Unreadable."""
        return notices.acknowledge(body)

    def statement_request(self, *, starts_at: datetime, ends_at: datetime) -> Request:
        """Asks for the statements of a window. Raises: InvalidValue for a window that the bank refuses."""
        return statements.statement_request(starts_at=starts_at, ends_at=ends_at)

    def statement_page_request(self, message_id: str, page: int) -> Request:
        """Asks for one page of a ready statement. Raises: InvalidValue for an unusable id or page."""
        return statements.statement_page_request(message_id, page)

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        """Every statement of one message, given all of its pages in any order. Raises: Unreadable."""
        return statement_pages.parse_statement(document, *further_pages)

    def virtual_iban_request(self, *, account_id: str, owner: str) -> Request:
        """Asks for a virtual IBAN under the safeguarding account. Raises: InvalidValue for a bad owner."""
        return virtual_ibans.virtual_iban_request(account_id=account_id, owner=owner)

    def interpret_virtual_iban(self, answer: Answer) -> VirtualIban:
        """The new virtual IBAN. Raises: Unreadable."""
        return virtual_ibans.interpret_virtual_iban(answer)

    def payee_request(self, *, name: str, iban: str) -> Request:
        """Asks whether an account has this name. Raises: InvalidValue when it cannot be asked."""
        return payees.payee_request(name=name, iban=iban)

    def interpret_payee(self, answer: Answer) -> PayeeAnswer:
        """What the payee's bank said. Raises: Unreadable."""
        return payees.interpret_payee(answer)

    def explain(self, code: str) -> Reason:
        """What one of this bank's codes means; an unlisted code has fault "unknown"."""
        return reasons.explain(code)
