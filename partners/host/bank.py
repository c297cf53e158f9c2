"""The host of one bank: it talks, has requests signed, records, and says what became of each payment order.

The order of things is what keeps money from being sent twice. An attempt is opened and committed; the enclave signs;
the signed request is kept and committed; only then is its first byte written. Whoever finds an attempt with a kept
request and no outcome must take it that the bank has the order: it becomes unknown, and an enquiry, a notice or a
statement resolves it. No network call happens inside a database transaction.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from urllib.parse import urlsplit

from enclave.client import EnclaveClient, EnclaveRefused
from enclave.protocol import Signature, SignedHeaders, Target
from ledger.core.errors import InvalidValue
from ledger.core.ids import NoticeId, PayoutId
from ledger.core.payout import REFUSED_BY_ENCLAVE, UNSETTLED, PayoutState, PayoutTrigger
from ledger.flows import payouts as flow
from ledger.store.jobs import promise
from ledger.store.notices import keep_notice
from ledger.store.payouts import Attempt, Payout, attempts_of, lock_payouts
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx
from partners.contract import (
    Accepted,
    Adapter,
    Answer,
    Instruction,
    Notice,
    NotSent,
    Operation,
    Outcome,
    PaymentState,
    PaymentStatus,
    Rail,
    Rejected,
    Request,
    SignatureScheme,
    Signing,
    Unknown,
    Unreadable,
    VirtualIban,
    VirtualIbans,
)
from partners.host.calendar import is_open, next_opening
from partners.host.transport import Wire

HTTP_OK = 200
ENQUIRY_PAGES_MAX = 20
ENQUIRY_WINDOW = timedelta(days=1)

_TRIGGERS = {
    PaymentState.PENDING: PayoutTrigger.PROGRESS,
    PaymentState.SETTLED: PayoutTrigger.SETTLE,
    PaymentState.FAILED: PayoutTrigger.REJECT,
}


class NotOffered(Exception):
    """The bank does not offer what it was asked for; its manifest says so."""

    def __init__(self, connection: str, operation: Operation) -> None:
        super().__init__(f"The bank of {connection!r} does not offer {operation}.")
        self.operation = operation


@dataclass(frozen=True, slots=True)
class SignedAcknowledgement:
    """The answer to a webhook, ready to be written; `signed` are the fields that carry its signature."""

    status: int
    body: bytes
    signed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Connection:
    """How one bank is reached. `name` is what programmes call it.

    Payouts go by a credential of their own, because they are signed with a key of their own.
    """

    name: str
    base_url: str
    token: str
    payout_token: str
    webhook_key_pem: bytes


@dataclass(frozen=True, slots=True)
class BankHost:
    """One bank, through one adapter. `wall_clock` is for request times; business time comes with each transaction."""

    connection: Connection
    adapter: Adapter
    transport: Wire
    enclave: EnclaveClient
    transactions: Callable[[], AbstractContextManager[Tx]]
    wall_clock: Callable[[], datetime]

    # --- money out ---------------------------------------------------------------------------------------------

    def send(self, payout_id: PayoutId) -> None:
        """Sends a payout that waits, once. Safe to call again at any time, after any crash."""
        with self.transactions() as tx:
            if self._waits_for_opening(tx, payout_id):
                return
            opened = flow.submit(tx, payout_id)
        if opened is None or opened[1].outcome is not None:
            return
        payout, attempt = opened
        if attempt.request_body is not None:
            cause = "we stopped between sending the order and keeping its answer"
            self._conclude(attempt, PayoutTrigger.LOSE_SIGHT, cause)
            return
        self._sign_and_send(payout, attempt)

    def _waits_for_opening(self, tx: Tx, payout_id: PayoutId) -> bool:
        payout = lock_payouts(tx, [payout_id]).get(payout_id)
        if payout is None or payout.state is not PayoutState.QUEUED:
            return False
        hours = self.adapter.manifest().rail(Rail(payout.rail)).hours
        if hours is None or is_open(hours, tx.now):
            return False
        reason = f"{payout.rail} takes no orders at this hour"
        flow.schedule(tx, payout, due_at=next_opening(hours, tx.now), reason=reason)
        return True

    def _sign_and_send(self, payout: Payout, attempt: Attempt) -> None:
        instruction = instruction_of(payout)
        try:
            request = self.adapter.prepare(instruction)
            body = request.body or b""
            signed = self.enclave.payout(
                payout_id=payout.id,
                attempt_id=attempt.id,
                profile=request.profile,
                body=body,
                scheme=self._scheme,
                target=self._target(request),
            )
        except InvalidValue as error:
            self._conclude(attempt, PayoutTrigger.REJECT, f"cannot be said to this bank: {error.detail}")
            return
        except EnclaveRefused as refused:
            # Time or people may mend it: it is tried again, on a schedule and when something has changed.
            self._conclude(attempt, PayoutTrigger.NOT_SENT, f"{REFUSED_BY_ENCLAVE}{refused.code}")
            return
        with self.transactions() as tx:
            ours = flow.keep_signed(tx, attempt, body=body, signature=_kept(signed))
        if not ours:
            return
        answer = self._send(request, attempt.request_id, _fields(signed), token=self.connection.payout_token)
        if isinstance(answer, Answer):
            self._hear(attempt, answer, self.adapter.interpret(instruction, answer))
        else:
            self._hear(attempt, None, answer)

    def _hear(self, attempt: Attempt, answer: Answer | None, outcome: Outcome) -> None:
        match outcome:
            case Accepted(references):
                self._conclude(attempt, PayoutTrigger.ACCEPT, "", references=dict(references))
            case Rejected(reason):
                assert answer is not None, "only an answer rejects"
                cause = f"{reason.code}: {reason.text}"
                self._conclude(
                    attempt, PayoutTrigger.REJECT, cause, word=(f"answer:{attempt.id}", answer.body)
                )
            case NotSent(cause):
                self._conclude(attempt, PayoutTrigger.NOT_SENT, cause)
            case Unknown(cause):
                self._conclude(attempt, PayoutTrigger.LOSE_SIGHT, cause)

    def _conclude(
        self,
        attempt: Attempt,
        trigger: PayoutTrigger,
        cause: str,
        *,
        references: Mapping[str, str] | None = None,
        word: tuple[str, bytes] | None = None,
    ) -> None:
        with self.transactions() as tx:
            notice_id = None
            if word is not None:
                notice_id = self._keep(tx, source="answer", key=word[0], type_="answer", body=word[1])
            flow.conclude(tx, attempt, trigger, cause=cause, references=references or {}, notice_id=notice_id)

    def enquire(self, payout_id: PayoutId) -> bool:
        """Asks the bank what became of a payout; says whether nothing more needs to be asked."""
        with self.transactions() as tx:
            payout = lock_payouts(tx, [payout_id]).get(payout_id)
            if payout is None or payout.state not in UNSETTLED:
                return True
            attempt = attempts_of(tx, [payout_id])[payout_id][-1]
            programme = read_programmes(tx, [payout.programme_id])[payout.programme_id]
            until = tx.now
        found = self._look_for(payout, programme, attempt.opened_at, until)
        with self.transactions() as tx:
            return self._learn_status(tx, payout, found)

    def promise_enquiry(self, payout_id: PayoutId, enquiry: int) -> None:
        """Promises the next enquiry by the manifest's schedule, which never ends while nobody knows."""
        with self.transactions() as tx:
            payout = lock_payouts(tx, [payout_id])[payout_id]
            schedule = self.adapter.manifest().rail(Rail(payout.rail)).poll_schedule
            delay_s = max(1, int(schedule[min(enquiry, len(schedule) - 1)].total_seconds()))
            promise(tx, "enquire", delay_s=delay_s, payout_id=payout_id, enquiry=enquiry + 1)

    def _look_for(
        self, payout: Payout, programme: Programme, since: datetime, until: datetime
    ) -> list[tuple[PaymentStatus, bytes]]:
        instruction = instruction_of(payout)
        found: list[tuple[PaymentStatus, bytes]] = []
        for page in range(1, ENQUIRY_PAGES_MAX + 1):
            request = self.adapter.status_request(
                instruction,
                account_id=programme.safeguarding_bank_id,
                since=since - timedelta(minutes=5),
                until=until + ENQUIRY_WINDOW,
                page=page,
            )
            if request is None:
                break  # this bank says it by a notice or a statement, and cannot be asked
            answer = self.ask(request)
            if not isinstance(answer, Answer):
                break
            statuses = self.adapter.interpret_status(instruction, answer)
            found += [(status, answer.body) for status in statuses]
            if statuses or not self.adapter.status_continues(answer):
                break
        return found

    def _learn_status(self, tx: Tx, payout: Payout, found: Sequence[tuple[PaymentStatus, bytes]]) -> bool:
        """Believes a status only when amount, currency and creditor are the ones that were asked."""
        for status, body in found:
            same = (status.amount_minor, status.currency) == (payout.amount_minor, payout.currency)
            if not same or (status.creditor_iban or payout.creditor_iban) != payout.creditor_iban:
                continue
            key = f"status:{payout.id}:{status.transaction_id}:{status.state.value}"
            notice_id = self._keep(tx, source="status", key=key, type_="status", body=body)
            reason = f"{status.reason.code}: {status.reason.text}" if status.reason else "found by enquiry"
            news = flow.News(
                payout.end_to_end_id, _TRIGGERS[status.state], notice_id, status.transaction_id, reason
            )
            flow.learn(tx, [news])
            return status.state is not PaymentState.PENDING
        return False

    # --- what the bank tells us ----------------------------------------------------------------------------------

    def receive(self, headers: Sequence[tuple[str, str]], body: bytes) -> SignedAcknowledgement:
        """Keeps a webhook and promises to read it; gives the signed answer that the bank waits for.

        Raises: BadSignature, Unreadable; then nothing was kept.
        """
        self.adapter.verify_notice(headers=headers, body=body, public_key_pem=self.connection.webhook_key_pem)
        notice = self.adapter.parse_notice(body)
        owed = self.adapter.acknowledge(body)
        with self.transactions() as tx:
            notice_id, new = keep_notice(
                tx,
                bank_connection=self.connection.name,
                source="webhook",
                key=notice.key,
                type_=notice.type,
                body=body,
            )
            if new:
                promise(tx, "process_notice", notice_id=notice_id)
        if owed is None:
            return SignedAcknowledgement(HTTP_OK, b"", {})
        signed = self.enclave.bank_message(profile=owed.profile, body=owed.body, scheme=self._scheme)
        return SignedAcknowledgement(owed.status, owed.body, _fields(signed))

    def read(self, body: bytes) -> Notice:
        """What a kept notice says. Raises: Unreadable."""
        return self.adapter.parse_notice(body)

    def _keep(self, tx: Tx, *, source: str, key: str, type_: str, body: bytes) -> NoticeId:
        kept, _ = keep_notice(
            tx, bank_connection=self.connection.name, source=source, key=key, type_=type_, body=body
        )
        return kept

    # --- reading and asking ----------------------------------------------------------------------------------------

    def request_statements(
        self, *, starts_at: datetime, ends_at: datetime
    ) -> Answer | NotSent | Unknown | None:
        """Asks for the statements of a window; the bank says by a notice when they are ready.

        None: this bank sends its statements unasked.
        """
        request = self.adapter.statement_request(starts_at=starts_at, ends_at=ends_at)
        return None if request is None else self.ask(request)

    def fetch_statement_page(self, message_id: str, page: int) -> bytes:
        """One page of a ready statement. Raises: Unreadable when the bank does not give it."""
        request = self.adapter.statement_page_request(message_id, page)
        if request is None:
            raise Unreadable(f"statement {message_id} is said to be ready by a bank that gives out no pages")
        answer = self.ask(request)
        if not isinstance(answer, Answer) or answer.status != HTTP_OK:
            raise Unreadable(f"page {page} of statement {message_id} was not given: {answer!r:.200}")
        return answer.body

    def open_virtual_iban(self, *, account_id: str, owner: str) -> VirtualIban:
        """A virtual IBAN under the safeguarding account.

        Raises: Unreadable when the bank does not give one, NotOffered when it gives none at all.
        """
        if not isinstance(self.adapter, VirtualIbans):
            raise NotOffered(self.connection.name, Operation.VIRTUAL_IBAN)
        answer = self.ask(self.adapter.virtual_iban_request(account_id=account_id, owner=owner))
        if not isinstance(answer, Answer):
            raise Unreadable(f"the bank gave no virtual IBAN: {answer!r:.200}")
        return self.adapter.interpret_virtual_iban(answer)

    def ask(self, request: Request) -> Answer | NotSent | Unknown:
        """Sends a request that moves no money."""
        request_id = f"req_{secrets.token_hex(16)}"
        if request.signing is Signing.MESSAGE:
            assert request.body is not None, "a message has a body"
            signed = self.enclave.bank_message(
                profile=request.profile,
                body=request.body,
                scheme=self._scheme,
                target=self._target(request),
            )
            return self._send(request, request_id, _fields(signed))
        now_s = int(self.wall_clock().timestamp())
        return self._send(request, request_id, self._sign_query(request, request_id, now_s), at_s=now_s)

    def _sign_query(self, request: Request, request_id: str, now_s: int) -> Mapping[str, str]:
        match self._scheme:
            case "body_rsa_sha256":
                return _fields(
                    self.enclave.bank_query(
                        profile=request.profile,
                        method=request.method,
                        path_with_query=request.path,
                        request_id=request_id,
                        request_time=str(now_s),
                    )
                )
            case "http_message":
                return _fields(
                    self.enclave.bank_query(
                        profile=request.profile,
                        method=request.method,
                        path_with_query=request.path,
                        scheme="http_message",
                        authority=self._authority,
                    )
                )
            case "detached_jws":
                # There is no body to sign: such a bank knows who reads by the credential alone.
                return {}
            case scheme:
                assert_never(scheme)

    @property
    def _scheme(self) -> SignatureScheme:
        return self.adapter.manifest().signature_scheme

    @property
    def _authority(self) -> str:
        return urlsplit(self.connection.base_url).netloc.lower()

    def _target(self, request: Request) -> Target | None:
        """Where the request goes, if that is signed."""
        if self._scheme != "http_message":
            return None
        return Target(method=request.method, authority=self._authority, path_with_query=request.path)

    def _send(
        self,
        request: Request,
        request_id: str,
        signed: Mapping[str, str],
        *,
        token: str | None = None,
        at_s: int | None = None,
    ) -> Answer | NotSent | Unknown:
        return self.transport.send(
            base_url=self.connection.base_url,
            token=token or self.connection.token,
            request=request,
            request_id=request_id,
            request_time=at_s if at_s is not None else int(self.wall_clock().timestamp()),
            signed=signed,
        )


def _fields(signed: Signature | SignedHeaders) -> Mapping[str, str]:
    """The fields that carry a signature to the bank."""
    if isinstance(signed, SignedHeaders):
        return signed.headers
    return {"DigitalSignature": signed.signature_base64}


def _kept(signed: Signature | SignedHeaders) -> str:
    """What is kept of a signature with its attempt."""
    if isinstance(signed, SignedHeaders):
        return json.dumps(signed.headers, sort_keys=True)
    return signed.signature_base64


def instruction_of(payout: Payout) -> Instruction:
    """What the bank is asked to do for a payout."""
    ordered_at = payout.send_at or payout.created_at
    assert ordered_at is not None, "a payout that is sent was read, and so was written"
    return Instruction(
        payout_id=payout.id,
        rail=Rail(payout.rail),
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        creditor_name=payout.creditor_name,
        creditor_iban=payout.creditor_iban,
        debtor_name=payout.debtor_name,
        debtor_iban=payout.debtor_iban,
        end_to_end_id=payout.end_to_end_id,
        remittance=payout.remittance,
        ordered_at=ordered_at,
    )
