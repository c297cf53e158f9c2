"""The host of one bank: it talks, has requests signed, asks what became of payments, and takes in what the bank says.

How payouts are sent stands in `sending`. No network call happens inside a database transaction.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from urllib.parse import urlsplit

from enclave.client import EnclaveClient
from enclave.protocol import Signature, SignedHeaders, Target
from ledger.core.errors import InvalidValue
from ledger.core.ids import NoticeId, PayoutId
from ledger.core.payout import UNSETTLED, PayoutState, PayoutTrigger
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
    OnDuplicate,
    Operation,
    PayeeAnswer,
    PayeeMatch,
    PaymentState,
    PaymentStatus,
    Rail,
    Request,
    SignatureScheme,
    Signing,
    Unknown,
    Unreadable,
    VerifyPayee,
    VirtualIban,
    VirtualIbans,
)
from partners.host.enquiries import enquiry_window
from partners.host.transport import Wire
from partners.host.triggers import TRIGGERS

HTTP_OK = 200
ENQUIRY_PAGES_MAX = 20
REPEAT_FROM = 2  # enquiries that found nothing, before an order is said once more


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

    # --- what became of a payout -----------------------------------------------------------------------------------

    def enquire(self, payout_id: PayoutId, *, enquiry: int = 0) -> bool:
        """Asks the bank what became of a payout; says whether nothing more needs to be asked.

        `enquiry` counts how often it was asked before: of what it does not find, it may never have heard.
        """
        with self.transactions() as tx:
            payout = lock_payouts(tx, [payout_id]).get(payout_id)
            if payout is None or payout.state not in UNSETTLED:
                return True
            attempt = attempts_of(tx, [payout_id])[payout_id][-1]
            programme = read_programmes(tx, [payout.programme_id])[payout.programme_id]
            until = tx.now
        found, is_all = self._look_for(payout, programme, attempt.opened_at, until)
        with self.transactions() as tx:
            is_known = self._learn_status(tx, payout, found)
        if is_all and not found and enquiry >= REPEAT_FROM and payout.state is PayoutState.UNKNOWN:
            self._repeat(payout, attempt, until)
        return is_known

    def _repeat(self, payout: Payout, attempt: Attempt, now: datetime) -> None:
        """Says an order once more, in the same bytes and under the same request id, to a bank that cannot find it.

        Only to a bank that takes a request id once, and while it remembers it: if it has the order after all, it takes
        no second one. Only that it has taken it is believed; a refusal may be of the repetition (decision 0027).
        """
        ids = self.adapter.manifest().request_ids
        if ids.on_duplicate is OnDuplicate.IGNORED or attempt.sent_at is None or attempt.signature is None:
            return
        instruction = instruction_of(payout)
        request = self.adapter.prepare(instruction)
        if now - attempt.sent_at >= ids.window / 2 or request.body != attempt.request_body:
            return
        signed = kept_signature_fields(attempt.signature)
        answer = self.send(request, attempt.request_id, signed, token=self.connection.payout_token)
        if not isinstance(answer, Answer) or not isinstance(
            self.adapter.interpret(instruction, answer), Accepted
        ):
            return
        with self.transactions() as tx:
            notice_id = self.keep(tx, source="answer", key=f"repeated:{attempt.id}", body=answer.body)
            told = "taken when it was said again"
            flow.learn(tx, [flow.News(payout.end_to_end_id, PayoutTrigger.ACCEPT, notice_id, None, told)])

    def promise_enquiry(self, payout_id: PayoutId, enquiry: int) -> None:
        """Promises the next enquiry by the manifest's schedule, which never ends while nobody knows."""
        with self.transactions() as tx:
            payout = lock_payouts(tx, [payout_id])[payout_id]
            schedule = self.adapter.manifest().rail(Rail(payout.rail)).poll_schedule
            delay_s = max(1, int(schedule[min(enquiry, len(schedule) - 1)].total_seconds()))
            promise(tx, "enquire", delay_s=delay_s, payout_id=payout_id, enquiry=enquiry + 1)

    def _look_for(
        self, payout: Payout, programme: Programme, since: datetime, until: datetime
    ) -> tuple[list[tuple[PaymentStatus, bytes]], bool]:
        """What the bank lists of a payout, and whether that is all that it lists."""
        instruction = instruction_of(payout)
        start, end = enquiry_window(opened_at=since, now=until)
        found: list[tuple[PaymentStatus, bytes]] = []
        for page in range(1, ENQUIRY_PAGES_MAX + 1):
            request = self.adapter.status_request(
                instruction,
                account_id=programme.safeguarding_bank_id,
                since=start,
                until=end,
                page=page,
            )
            if request is None:
                return found, False  # this bank says it by a notice or a statement, and cannot be asked
            answer = self.ask(request)
            if not isinstance(answer, Answer):
                return found, False
            statuses = self.adapter.interpret_status(instruction, answer)
            found += [(status, answer.body) for status in statuses]
            if statuses or not self.adapter.status_continues(answer):
                return found, True
        return found, False

    def _learn_status(self, tx: Tx, payout: Payout, found: Sequence[tuple[PaymentStatus, bytes]]) -> bool:
        """Believes a status only when amount, currency and creditor are the ones that were asked."""
        for status, body in found:
            same = (status.amount_minor, status.currency) == (payout.amount_minor, payout.currency)
            if not same or (status.creditor_iban or payout.creditor_iban) != payout.creditor_iban:
                continue
            key = f"status:{payout.id}:{status.transaction_id}:{status.state.value}"
            notice_id = self.keep(tx, source="status", key=key, body=body)
            reason = str(status.reason) if status.reason else "found by enquiry"
            news = flow.News(
                payout.end_to_end_id, TRIGGERS[status.state], notice_id, status.transaction_id, reason
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
        signed = self.enclave.bank_message(profile=owed.profile, body=owed.body, scheme=self.scheme)
        return SignedAcknowledgement(owed.status, owed.body, signature_fields(signed))

    def read(self, body: bytes) -> Notice:
        """What a kept notice says. Raises: Unreadable."""
        return self.adapter.parse_notice(body)

    def keep(self, tx: Tx, *, source: str, key: str, body: bytes) -> NoticeId:
        """Keeps the bank's word that we asked for: an answer or a status."""
        kept, _ = keep_notice(
            tx, bank_connection=self.connection.name, source=source, key=key, type_=source, body=body
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

    @property
    def verifies_payees(self) -> bool:
        """Whether this bank asks payees' banks for us."""
        return isinstance(self.adapter, VerifyPayee)

    def verify_payee(self, *, name: str, iban: str) -> PayeeAnswer | None:
        """What the payee's bank says of a name; None when nobody gave an answer.

        A payee that cannot be asked for in this bank's dialect cannot be verified.
        Raises: NotOffered.
        """
        if not isinstance(self.adapter, VerifyPayee):
            raise NotOffered(self.connection.name, Operation.VERIFY_PAYEE)
        try:
            request = self.adapter.payee_request(name=name, iban=iban)
        except InvalidValue:
            return PayeeAnswer(PayeeMatch.NOT_POSSIBLE, None)
        answer = self.ask(request)
        try:
            return self.adapter.interpret_payee(answer) if isinstance(answer, Answer) else None
        except Unreadable:
            return None

    def ask(self, request: Request) -> Answer | NotSent | Unknown:
        """Sends a request that moves no money."""
        request_id = f"req_{secrets.token_hex(16)}"
        if request.signing is Signing.MESSAGE:
            assert request.body is not None, "a message has a body"
            signed = self.enclave.bank_message(
                profile=request.profile,
                body=request.body,
                scheme=self.scheme,
                target=self.target(request),
            )
            return self.send(request, request_id, signature_fields(signed))
        now_s = int(self.wall_clock().timestamp())
        return self.send(request, request_id, self._sign_query(request, request_id, now_s), at_s=now_s)

    def _sign_query(self, request: Request, request_id: str, now_s: int) -> Mapping[str, str]:
        match self.scheme:
            case "body_rsa_sha256":
                return signature_fields(
                    self.enclave.bank_query(
                        profile=request.profile,
                        method=request.method,
                        path_with_query=request.path,
                        request_id=request_id,
                        request_time=str(now_s),
                    )
                )
            case "http_message":
                return signature_fields(
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
    def scheme(self) -> SignatureScheme:
        """How this bank wants requests signed."""
        return self.adapter.manifest().signature_scheme

    @property
    def _authority(self) -> str:
        return urlsplit(self.connection.base_url).netloc.lower()

    def target(self, request: Request) -> Target | None:
        """Where the request goes, if that is signed."""
        if self.scheme != "http_message":
            return None
        return Target(method=request.method, authority=self._authority, path_with_query=request.path)

    def send(
        self,
        request: Request,
        request_id: str,
        signed: Mapping[str, str],
        *,
        token: str | None = None,
        at_s: int | None = None,
    ) -> Answer | NotSent | Unknown:
        """Writes one signed request, once, and says what came of it."""
        return self.transport.send(
            base_url=self.connection.base_url,
            token=token or self.connection.token,
            request=request,
            request_id=request_id,
            request_time=at_s if at_s is not None else int(self.wall_clock().timestamp()),
            signed=signed,
        )


def signature_fields(signed: Signature | SignedHeaders) -> Mapping[str, str]:
    """The fields that carry a signature to the bank."""
    if isinstance(signed, SignedHeaders):
        return signed.headers
    return {"DigitalSignature": signed.signature_base64}


def kept_signature(signed: Signature | SignedHeaders) -> str:
    """What is kept of a signature with its attempt."""
    if isinstance(signed, SignedHeaders):
        return json.dumps(signed.headers, sort_keys=True)
    return signed.signature_base64


def kept_signature_fields(kept: str) -> Mapping[str, str]:
    """The fields that carry a signature that was kept."""
    if kept.startswith("{"):
        fields: dict[str, str] = json.loads(kept)
        return fields
    return {"DigitalSignature": kept}


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
