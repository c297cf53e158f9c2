"""The rows of the bank's books as values, and the states they go through."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Scheme(StrEnum):
    """A way to pay, named as the bank's paths name it."""

    CT = "sepa-ct"
    INST = "sepa-instant"

    @property
    def channel(self) -> str:
        """How the bank names the scheme in its webhooks and lists."""
        return "SEPA-Instant" if self is Scheme.INST else "SEPA"


class PaymentStatus(StrEnum):
    """received -> clearing (-> delayed) -> settled (-> returned), or failed / cancelled."""

    RECEIVED = "received"
    CLEARING = "clearing"
    DELAYED = "delayed"
    SETTLED = "settled"
    RETURNED = "returned"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Script(StrEnum):
    """What an order's magic reference asks the simulation to play."""

    NONE = ""
    RETURN = "--SCTRETURN--"
    DELAY = "--DelayPayment--"
    CANCEL_DELAYED = "--CancelDelayedPayment--"


class Direction(StrEnum):
    DEBIT = "Debit"
    CREDIT = "Credit"


class PostingStatus(StrEnum):
    CLEARING = "Clearing"
    SETTLED = "Settled"
    CANCELLED = "Cancelled"


class PostingKind(StrEnum):
    TRANSFER = "Transfer"
    RETURN = "Return"
    FEE = "Fee"


class WebhookState(StrEnum):
    """`withheld`: a fault keeps it from ever being sent. `given up`: every attempt failed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"
    WITHHELD = "withheld"


class FaultKind(StrEnum):
    """The ways in which the bank misbehaves on command, by what they strike."""

    # the whole bank
    DOWN = "down"
    # a request, before anything is done
    DROPPED_REQUEST = "dropped_request"
    REFUSE_429 = "refuse_429"
    REFUSE_500 = "refuse_500"
    # an answer, after everything is done
    LOST_ANSWER = "lost_answer"
    HELD_ANSWER = "held_answer"
    LATE_ANSWER = "late_answer"
    TRUNCATED_ANSWER = "truncated_answer"
    ERROR_500_AFTER = "error_500_after"
    TURNED_AWAY_AFTER = "turned_away_after"
    # an order
    REJECT = "reject"
    DELAY = "delay"
    CANCEL_DELAYED = "cancel_delayed"
    RETURN = "return"
    # a webhook
    LOST_WEBHOOK = "lost_webhook"
    DUPLICATE_WEBHOOK = "duplicate_webhook"
    LATE_WEBHOOK = "late_webhook"
    REPLAYED_WEBHOOK = "replayed_webhook"
    WRONG_AMOUNT = "wrong_amount"
    SKEWED_CLOCK = "skewed_clock"
    BAD_SIGNATURE = "bad_signature"
    WRONG_KEY = "wrong_key"
    # a look-up or a statement
    WRONG_AMOUNT_LISTED = "wrong_amount_listed"
    WRONG_AMOUNT_STATED = "wrong_amount_stated"
    REPEATED_ENTRY = "repeated_entry"
    REUSED_STATEMENT_ID = "reused_statement_id"
    SWAPPED_PAGES = "swapped_pages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A real account. `actual_minor` includes what is earmarked for payments under way."""

    id: str
    name: str
    label: str
    owner: str
    kind: str
    bic: str
    iban: str
    actual_minor: int
    earmarked_minor: int
    opened_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccount:
    """An IBAN of its own whose money sits in a real account."""

    id: str
    account_id: str
    owner: str
    iban: str
    opened_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an IBAN of this bank leads: a real account, perhaps by way of a virtual one."""

    account_id: str
    virtual_account_id: str | None
    iban: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """The other side of a posting, as far as the bank knows it."""

    name: str
    iban: str
    bic: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One order to pay. `due_at` is when the settlement loop looks at it next; null means never again.

    Units: `returned_minor` in cents, what has come back so far; an order of which a part came back is
    `returned` too.
    """

    id: str
    scheme: Scheme
    status: PaymentStatus
    script: Script
    end_to_end_id: str
    amount_minor: int
    currency: str
    debtor_name: str
    debtor_iban: str
    creditor_name: str
    creditor_iban: str
    creditor_bic: str | None
    reference: str
    request_id: str
    posting_id: str | None
    reason: str | None
    returned_minor: int
    silenced: bool
    received_at: str
    due_at: str | None

    @property
    def creditor(self) -> Party:
        return Party(name=self.creditor_name, iban=self.creditor_iban, bic=self.creditor_bic)

    @property
    def debtor(self) -> Party:
        return Party(name=self.debtor_name, iban=self.debtor_iban)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One movement on one account; its id is what the bank calls the TransactionId.

    Postings with the same `batch_id` were booked together: a statement shows them as one entry.
    """

    id: str
    account_id: str
    virtual_account_id: str | None
    payment_id: str | None
    batch_id: str | None
    kind: PostingKind
    channel: str
    direction: Direction
    status: PostingStatus
    amount_minor: int
    currency: str
    end_to_end_id: str
    reference: str
    creditor_reference: str | None
    own_name: str
    own_iban: str
    other_name: str | None
    other_iban: str | None
    other_bic: str | None
    return_reason: str | None
    created_at: str
    settled_at: str | None
    cancelled_at: str | None

    @property
    def signed_minor(self) -> int:
        """What the posting adds to its account."""
        return self.amount_minor if self.direction is Direction.CREDIT else -self.amount_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One message to the client, its bytes fixed when it was made."""

    seq: int
    type: str
    body: str
    nonce: int
    payment_id: str | None
    end_to_end_id: str | None
    creditor_iban: str | None
    state: WebhookState
    attempts: int
    last_failure: str | None
    created_at: str
    next_attempt_at: str
    delivered_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement that was asked for: a window in the past, cut into pages.

    `first_at` is where its entries begin, and `shown_id` and `shown_day` are what it calls itself: the
    window's start, its message id and its day, unless a fault has it otherwise.
    """

    message_id: str
    start_at: str
    end_at: str
    first_at: str
    shown_id: str
    shown_day: str
    page_entries: int
    total_pages: int
    made_at: str


class RecallSide(StrEnum):
    """`outgoing`: the client wants its own payment back. `incoming`: another bank wants back what it paid in."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"


class RecallStatus(StrEnum):
    """open -> accepted -> paid, or rejected, or expired when nobody answered in time."""

    OPEN = "open"
    ACCEPTED = "accepted"
    PAID = "paid"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """A request to give a settled payment back, and what became of it.

    `plan_*` is how the other bank will answer an outgoing one, when somebody has ordered it. `due_at` is
    when the bank looks at it next. Units: amount in cents.
    """

    id: str
    side: RecallSide
    scheme: Scheme
    payment_id: str
    posting_id: str
    end_to_end_id: str
    creditor_iban: str
    amount_minor: int
    reason: str
    information: str | None
    status: RecallStatus
    answer_reason: str | None
    plan_accepts: bool | None
    plan_reason: str | None
    plan_at: str | None
    asked_at: str
    answer_by: str
    due_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReturn:
    """A return that will come when its time has. Units: cents; no amount means all that is left."""

    id: str
    payment_id: str
    amount_minor: int | None
    reason: str
    due_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An order to misbehave: where it applies, how, and how many times more. Units: `amount_minor` in cents."""

    id: str
    kind: FaultKind
    end_to_end_id: str | None
    creditor_iban: str | None
    path: str | None
    webhook_type: str | None
    reason: str | None
    seconds: float | None
    amount_minor: int | None
    times_left: int
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known where a fault might strike."""

    path: str | None = None
    end_to_end_id: str | None = None
    creditor_iban: str | None = None
    webhook_type: str | None = None


Record: TypeAlias = (
    Account | VirtualAccount | Payment | Posting | Webhook | Statement | Fault | Recall | PlannedReturn
)
