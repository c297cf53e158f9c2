"""What the enclave signs: pure decisions over a request, facts looked up elsewhere, and earlier signatures.

One function a purpose, each answering with a refusal or with None, which means: may be signed. Reads no
clock, no database and no log; everything comes in as an argument, so that each refusal can be tested at its
very edge. Checks stand in the order of the codes in `refusals`; the first that applies is the answer.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from enclave.approvals import Approver, approvers_of
from enclave.bodies import CURRENCY_OF_SEPA, BodyUnreadable, PaymentBody, has_shape, is_amount, read_payment
from enclave.canonical import JsonUnreadable, JsonValue, parse_object
from enclave.facts import PayoutRecord
from enclave.notes import Checkpoint
from enclave.protocol import (
    AccessTokenRequest,
    BankMessageRequest,
    BankProfile,
    BankQueryRequest,
    CheckpointRequest,
    ExportRequest,
    PayoutRequest,
    WebhookRequest,
)
from enclave.refusals import Refusal, RefusalCode, refusal
from enclave.subjects import digest_of
from enclave.targets import allows_query, allows_target
from enclave.tokens import LIFETIME_S_MAX
from enclave.tree import Tree
from enclave.webhook_desk import is_payload

CLOCK_SKEW_S_MAX = 120
APPROVALS_NEEDED = 2
EXPORT_FORMAT = "tallystick-export"
# The largest SEPA credit transfer: 999,999,999.99 euros.
PAYMENT_LIMIT_MINOR_MAX = 999_999_999_99
# With six digits, the last four and the fingerprint of a card, its number is one of 100,000: at this rate days, and in
# the log.
CARDS_PER_HOUR = 1_000

RAIL_OF_PROFILE: Mapping[BankProfile, str] = {
    "clearbank.sct": "SCT",
    "clearbank.sct_inst": "SCT_INST",
    "iso20022.sct": "SCT",
    "iso20022.sct_inst": "SCT_INST",
}

# What an order must say, and say alike: all that the bank is told.
_ORDER_FIELDS = (
    "amount_minor",
    "currency",
    "creditor_iban",
    "creditor_name",
    "debtor_iban",
    "debtor_name",
    "end_to_end_id",
    "remittance",
    "rail",
    "payout_id",
    "programme_id",
    "initiator",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much signatures may move: one of them, and those from one account in the last hour and the last day; and how
    many cards of a programme are taken in in an hour.

    Units: minor units of the payment's currency. None: as much as there is.
    """

    per_payment_minor: int = PAYMENT_LIMIT_MINOR_MAX
    per_hour_minor: int | None = None
    per_day_minor: int | None = None
    cards_per_hour: int | None = CARDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Conditions:
    """What time and people must have done before a payout is signed.

    Above an amount, so many different people must have approved it; the account that the money goes to must have been
    verified, and must not have changed for the cooling period; the screening may be only so old.
    Units: minor units of the payment's currency. None: not asked for.
    """

    approvals_above_minor: int | None = None
    approvals_needed: int = APPROVALS_NEEDED
    cooling: timedelta | None = None
    screening_age_max: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What was signed before: this payout, if it was, and what its programme signed away lately.

    `digest` and `target` are the SHA-256 of its body and of its target, in hex; no target: none was signed.
    Units: minor units of the payment's currency.
    """

    digest: str | None = None
    scheme: str | None = None
    target: str | None = None
    last_hour_minor: int = 0
    last_day_minor: int = 0


@dataclass(frozen=True, slots=True)
class _PayoutCase:
    request: PayoutRequest
    record: PayoutRecord
    body: PaymentBody | None
    before: Before
    limits: Limits
    conditions: Conditions
    approvers: Mapping[str, Approver]
    now: datetime


def refuse_payout(
    request: PayoutRequest,
    record: PayoutRecord | None,
    *,
    before: Before,
    limits: Limits,
    conditions: Conditions,
    approvers: Mapping[str, Approver],
    now: datetime,
) -> Refusal | None:
    """Why this body may not be signed as this payout, or None if it may.

    The same body may be signed again, by the same scheme and for the same target; signed again, it moves no more
    money, so the limits of the hour and the day do not count it a second time. Any other body may not, nor the same
    by another scheme or for another target: a door that takes one of them cannot know that the other was taken
    elsewhere, so it would be a second instruction for one payout. The conditions hold for every signature.
    """
    if record is None or record.payout_id != request.payout_id:
        return refusal(RefusalCode.PAYOUT_UNKNOWN)
    case = _PayoutCase(
        request=request,
        record=record,
        body=_body_if_readable(request),
        before=before,
        limits=limits,
        conditions=conditions,
        approvers=approvers,
        now=now,
    )
    failed = (code for code, holds in _PAYOUT_RULES if not holds(case))
    first = next(failed, None)
    return None if first is None else refusal(first)


def refuse_bank_query(request: BankQueryRequest, *, now: datetime) -> Refusal | None:
    """Why this request without a body may not be signed, or None if it may.

    What is signed begins with the method, so it can never be read as the JSON of a payment; and a profile asks one
    thing only, so that no query does what nobody has looked at. Where the caller names the time, it has to be now.
    """
    if not allows_query(request):
        return refusal(RefusalCode.QUERY_PATH_REFUSED)
    if request.request_time is not None and not _is_near(int(request.request_time), now):
        return refusal(RefusalCode.QUERY_TIME_REFUSED)
    return None


def refuse_bank_message(request: BankMessageRequest) -> Refusal | None:
    """Why this body may not be signed as a message that moves no money, or None if it may."""
    if request.scheme == "http_message" and not allows_target(request.profile, request.target):
        return refusal(RefusalCode.TARGET_REFUSED)
    if not has_shape(request.profile, request.body):
        return refusal(RefusalCode.MESSAGE_SHAPE_REFUSED)
    return None


def refuse_access_token(request: AccessTokenRequest, *, now: datetime) -> Refusal | None:
    """Why this token may not be issued, or None if it may."""
    if not 1 <= request.claims.expires_at - request.claims.issued_at <= LIFETIME_S_MAX:
        return refusal(RefusalCode.TOKEN_LIFETIME_REFUSED)
    if not _is_near(request.claims.issued_at, now):
        return refusal(RefusalCode.TOKEN_CLOCK_REFUSED)
    return None


def refuse_checkpoint(
    request: CheckpointRequest, *, last: Checkpoint | None, tree: Tree | None
) -> Refusal | None:
    """Why this checkpoint may not be signed after the last one of its origin, or None if it may.

    `tree` is the log's as the enclave has grown it from there; None: there are not so many leaves. Up to the last size
    it is not asked for: what was signed decides, and the same may be signed again.
    """
    if last is not None and request.size < last.size:
        return refusal(RefusalCode.CHECKPOINT_REWINDS)
    if last is not None and request.size == last.size:
        return None if request.root == last.root else refusal(RefusalCode.CHECKPOINT_FORKS)
    if tree is None:
        return refusal(RefusalCode.CHECKPOINT_BEYOND_LOG)
    wanted = Checkpoint(request.origin, request.size, request.root)
    return None if tree.is_under(wanted) else refusal(RefusalCode.CHECKPOINT_FORKS)


def refuse_export(request: ExportRequest) -> Refusal | None:
    """Why these bytes may not be signed as the manifest of an export, or None if they may."""
    try:
        manifest = parse_object(request.manifest)
    except JsonUnreadable:
        return refusal(RefusalCode.MANIFEST_UNREADABLE)
    if manifest.get("format") != EXPORT_FORMAT or "files" not in manifest:
        return refusal(RefusalCode.MANIFEST_FORMAT_REFUSED)
    return None


def refuse_webhook(request: WebhookRequest) -> Refusal | None:
    """Why this may not be signed as a webhook of ours, or None if it may.

    The same message may be signed as often as it is delivered, each time with the time of the attempt.
    """
    if not is_payload(request.payload):
        return refusal(RefusalCode.WEBHOOK_PAYLOAD_REFUSED)
    return None


def _is_near(unix_seconds: int, now: datetime) -> bool:
    return abs(unix_seconds - int(now.timestamp())) <= CLOCK_SKEW_S_MAX


def _body_if_readable(request: PayoutRequest) -> PaymentBody | None:
    try:
        return read_payment(request.profile, request.body)
    except BodyUnreadable:
        return None


def _is_submitted(case: _PayoutCase) -> bool:
    return case.record.state == "submitted"


def _attempt_is_open(case: _PayoutCase) -> bool:
    return case.record.open_attempt_id == case.request.attempt_id


def _nothing_was_sent(case: _PayoutCase) -> bool:
    return case.record.attempts_possibly_sent == 0


def _order_has_its_digest(case: _PayoutCase) -> bool:
    if case.record.order_canonical is None:
        # The order is kept with its clearance. Without a clearance it is the rule on clearances that refuses.
        return case.record.cleared_digest is None
    digest = hashlib.sha256(case.record.order_canonical.encode()).digest()
    return hmac.compare_digest(digest, case.record.order_digest)


def _order_says_the_same(case: _PayoutCase) -> bool:
    if case.record.order_canonical is None:
        return case.record.cleared_digest is None
    try:
        order = parse_object(case.record.order_canonical.encode())
    except JsonUnreadable:
        return False
    return all(name in order and _same(order[name], _column(case, name)) for name in _ORDER_FIELDS)


def _same(said: JsonValue, column: JsonValue) -> bool:
    # The type is compared as well: to Python, True equals 1.
    return type(said) is type(column) and said == column


def _column(case: _PayoutCase, name: str) -> JsonValue:
    value: JsonValue = getattr(case.record, name)
    return value


def _is_cleared(case: _PayoutCase) -> bool:
    return case.record.cleared_digest is not None


def _clearance_is_for_this_order(case: _PayoutCase) -> bool:
    cleared = case.record.cleared_digest
    return cleared is not None and hmac.compare_digest(cleared, case.record.order_digest)


def _profile_is_the_rail(case: _PayoutCase) -> bool:
    return RAIL_OF_PROFILE[case.request.profile] == case.record.rail


def _target_is_the_profiles(case: _PayoutCase) -> bool:
    request = case.request
    return request.scheme != "http_message" or allows_target(request.profile, request.target)


def _body_is_readable(case: _PayoutCase) -> bool:
    return case.body is not None


def _amount_agrees(case: _PayoutCase) -> bool:
    return case.body is not None and is_amount(case.body.amount, minor=case.record.amount_minor)


def _currency_agrees(case: _PayoutCase) -> bool:
    return case.body is not None and case.body.currency == case.record.currency == CURRENCY_OF_SEPA


def _creditor_agrees(case: _PayoutCase) -> bool:
    return case.body is not None and (case.body.creditor_iban, case.body.creditor_name) == (
        case.record.creditor_iban,
        case.record.creditor_name,
    )


def _debtor_agrees(case: _PayoutCase) -> bool:
    return case.body is not None and (case.body.debtor_iban, case.body.debtor_name) == (
        case.record.debtor_iban,
        case.record.debtor_name,
    )


def _references_agree(case: _PayoutCase) -> bool:
    if case.body is None or case.body.payout_id not in {None, case.record.payout_id}:
        return False
    return (case.body.end_to_end_id, case.body.remittance) == (
        case.record.end_to_end_id,
        case.record.remittance or "",
    )


def _body_says_no_more(case: _PayoutCase) -> bool:
    return case.body is not None and not case.body.says_more


def _amount_is_positive(case: _PayoutCase) -> bool:
    return case.record.amount_minor > 0


def _amount_is_within_limit(case: _PayoutCase) -> bool:
    return case.record.amount_minor <= case.limits.per_payment_minor


def _hour_is_within_limit(case: _PayoutCase) -> bool:
    return _leaves_room(case, case.before.last_hour_minor, case.limits.per_hour_minor)


def _day_is_within_limit(case: _PayoutCase) -> bool:
    return _leaves_room(case, case.before.last_day_minor, case.limits.per_day_minor)


def _leaves_room(case: _PayoutCase, spent_minor: int, limit_minor: int | None) -> bool:
    was_signed = case.before.digest is not None
    return limit_minor is None or was_signed or spent_minor + case.record.amount_minor <= limit_minor


def _no_other_body_was_signed(case: _PayoutCase) -> bool:
    return case.before.digest in {None, digest_of(case.request.body)}


def _no_other_scheme_was_used(case: _PayoutCase) -> bool:
    return case.before.scheme in {None, case.request.scheme}


def _no_other_target_was_signed(case: _PayoutCase) -> bool:
    target = case.request.target
    return case.before.digest is None or case.before.target == (None if target is None else target.digest())


def _beneficiary_is_verified(case: _PayoutCase) -> bool:
    verified_at, changed_at = case.record.beneficiary_verified_at, case.record.beneficiary_changed_at
    if case.conditions.cooling is None:
        return True
    if verified_at is None or changed_at is None:
        return False
    return changed_at <= verified_at and _has_come(verified_at, case.now)


def _beneficiary_has_cooled(case: _PayoutCase) -> bool:
    cooling, changed_at = case.conditions.cooling, case.record.beneficiary_changed_at
    return cooling is None or (changed_at is not None and case.now - changed_at >= cooling)


def _screening_is_fresh(case: _PayoutCase) -> bool:
    age_max, screened_at = case.conditions.screening_age_max, case.record.screened_at
    if age_max is None:
        return True
    return screened_at is not None and _has_come(screened_at, case.now) and case.now - screened_at <= age_max


def _has_come(at: datetime, now: datetime) -> bool:
    """The database's clock may be a little ahead of ours, and no more: what has yet to come proves nothing."""
    return (at - now).total_seconds() <= CLOCK_SKEW_S_MAX


def _approvals_are_enough(case: _PayoutCase) -> bool:
    return not _wants_approvals(case) or _count_approvers(case) >= case.conditions.approvals_needed


def _others_approvals_are_enough(case: _PayoutCase) -> bool:
    initiator = case.record.initiator
    if not _wants_approvals(case):
        return True
    # Of an order that nobody is said to have given, anybody might be the initiator.
    return bool(initiator) and _count_approvers(case, initiator) >= case.conditions.approvals_needed


def _wants_approvals(case: _PayoutCase) -> bool:
    above_minor = case.conditions.approvals_above_minor
    return above_minor is not None and case.record.amount_minor > above_minor


def _count_approvers(case: _PayoutCase, without: str | None = None) -> int:
    return sum(approver != without for approver in approvers_of(case.record, case.approvers).values())


# What must hold for a payout to be signed, each with the refusal that answers when it does not.
_PAYOUT_RULES: tuple[tuple[RefusalCode, Callable[[_PayoutCase], bool]], ...] = (
    (RefusalCode.STATE_NOT_SUBMITTED, _is_submitted),
    (RefusalCode.ATTEMPT_NOT_OPEN, _attempt_is_open),
    (RefusalCode.ALREADY_SENT, _nothing_was_sent),
    (RefusalCode.ORDER_DIGEST_MISMATCH, _order_has_its_digest),
    (RefusalCode.ORDER_FIELDS_DIFFER, _order_says_the_same),
    (RefusalCode.NOT_CLEARED, _is_cleared),
    (RefusalCode.CLEARANCE_FOR_OTHER_ORDER, _clearance_is_for_this_order),
    (RefusalCode.RAIL_MISMATCH, _profile_is_the_rail),
    (RefusalCode.TARGET_REFUSED, _target_is_the_profiles),
    (RefusalCode.BODY_UNREADABLE, _body_is_readable),
    (RefusalCode.BODY_AMOUNT_DIFFERS, _amount_agrees),
    (RefusalCode.BODY_CURRENCY_DIFFERS, _currency_agrees),
    (RefusalCode.BODY_CREDITOR_DIFFERS, _creditor_agrees),
    (RefusalCode.BODY_DEBTOR_DIFFERS, _debtor_agrees),
    (RefusalCode.BODY_REFERENCE_DIFFERS, _references_agree),
    (RefusalCode.BODY_UNKNOWN_FIELD, _body_says_no_more),
    (RefusalCode.AMOUNT_NOT_POSITIVE, _amount_is_positive),
    (RefusalCode.OVER_PAYMENT_LIMIT, _amount_is_within_limit),
    (RefusalCode.OVER_HOUR_LIMIT, _hour_is_within_limit),
    (RefusalCode.OVER_DAY_LIMIT, _day_is_within_limit),
    (RefusalCode.SIGNED_OTHER_BODY, _no_other_body_was_signed),
    (RefusalCode.SIGNED_OTHER_SCHEME, _no_other_scheme_was_used),
    (RefusalCode.SIGNED_OTHER_TARGET, _no_other_target_was_signed),
    (RefusalCode.BENEFICIARY_UNVERIFIED, _beneficiary_is_verified),
    (RefusalCode.BENEFICIARY_COOLING, _beneficiary_has_cooled),
    (RefusalCode.SCREENING_STALE, _screening_is_fresh),
    (RefusalCode.APPROVALS_MISSING, _approvals_are_enough),
    (RefusalCode.APPROVER_IS_INITIATOR, _others_approvals_are_enough),
)
