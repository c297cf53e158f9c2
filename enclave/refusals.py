"""Every reason for which the enclave does not sign, each with its own stable code.

The order of the members is the order in which the reasons are looked for: of several that apply, a caller
hears the first. The sentences are fixed, so that no name, account number or secret can slip into an answer
or into the log.
"""

from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Stable codes; a code is never reused for another reason."""

    # The message itself.
    PEER_REFUSED = "peer_refused"
    MESSAGE_TOO_LARGE = "message_too_large"
    MESSAGE_NOT_CANONICAL = "message_not_canonical"
    MESSAGE_FIELDS_REFUSED = "message_fields_refused"

    # What the database says: first of all whether it can be asked, then of payouts.
    FACTS_UNAVAILABLE = "facts_unavailable"
    PAYOUT_UNKNOWN = "payout_unknown"
    STATE_NOT_SUBMITTED = "state_not_submitted"
    ATTEMPT_NOT_OPEN = "attempt_not_open"
    ALREADY_SENT = "already_sent"
    ORDER_DIGEST_MISMATCH = "order_digest_mismatch"
    ORDER_FIELDS_DIFFER = "order_fields_differ"
    NOT_CLEARED = "not_cleared"
    CLEARANCE_FOR_OTHER_ORDER = "clearance_for_other_order"

    # Payouts: what the body says.
    RAIL_MISMATCH = "rail_mismatch"
    TARGET_REFUSED = "target_refused"
    BODY_UNREADABLE = "body_unreadable"
    BODY_AMOUNT_DIFFERS = "body_amount_differs"
    BODY_CURRENCY_DIFFERS = "body_currency_differs"
    BODY_CREDITOR_DIFFERS = "body_creditor_differs"
    BODY_DEBTOR_DIFFERS = "body_debtor_differs"
    BODY_REFERENCE_DIFFERS = "body_reference_differs"
    BODY_UNKNOWN_FIELD = "body_unknown_field"

    # Payouts: limits, and what was signed before.
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    OVER_PAYMENT_LIMIT = "over_payment_limit"
    OVER_HOUR_LIMIT = "over_hour_limit"
    OVER_DAY_LIMIT = "over_day_limit"
    SIGNED_OTHER_BODY = "signed_other_body"
    SIGNED_OTHER_SCHEME = "signed_other_scheme"
    SIGNED_OTHER_TARGET = "signed_other_target"

    # Payouts: what time and people can still mend. Last: whoever hears one of these knows that all else is well.
    BENEFICIARY_UNVERIFIED = "beneficiary_unverified"
    BENEFICIARY_COOLING = "beneficiary_cooling"
    SCREENING_STALE = "screening_stale"
    APPROVALS_MISSING = "approvals_missing"
    APPROVER_IS_INITIATOR = "approver_is_initiator"

    # Other requests to the bank.
    QUERY_PATH_REFUSED = "query_path_refused"
    QUERY_TIME_REFUSED = "query_time_refused"
    MESSAGE_SHAPE_REFUSED = "message_shape_refused"

    # Webhooks of ours.
    WEBHOOK_PAYLOAD_REFUSED = "webhook_payload_refused"

    # Access tokens.
    TOKEN_LIFETIME_REFUSED = "token_lifetime_refused"  # noqa: S105  # a code, not a token
    TOKEN_CLOCK_REFUSED = "token_clock_refused"  # noqa: S105  # a code, not a token

    # Checkpoints.
    CHECKPOINT_REWINDS = "checkpoint_rewinds"
    CHECKPOINT_BEYOND_LOG = "checkpoint_beyond_log"
    CHECKPOINT_FORKS = "checkpoint_forks"
    CHECKPOINT_GROWING = "checkpoint_growing"

    # Exports.
    MANIFEST_UNREADABLE = "manifest_unreadable"
    MANIFEST_FORMAT_REFUSED = "manifest_format_refused"

    # Attestations.
    NOT_MEASURED = "not_measured"
    # Cards.
    CARDS_OVER_HOUR = "cards_over_hour"
    CARD_VAULT_CLOSED = "card_vault_closed"
    CARD_RECIPIENT_UNKNOWN = "card_recipient_unknown"
    CARD_UNREADABLE = "card_unreadable"
    CARD_KEY_UNKNOWN = "card_key_unknown"
    CARD_FIELDS_REFUSED = "card_fields_refused"
    CARD_NUMBER_REFUSED = "card_number_refused"
    CARD_EXPIRED = "card_expired"
    CARD_CONTEXT_MISMATCH = "card_context_mismatch"
    CARD_KEY_WORN_OUT = "card_key_worn_out"

    # The enclave's own state: these may be asked again.
    MIRROR_UNAVAILABLE = "mirror_unavailable"
    LOG_PUT_BACK = "log_put_back"
    DATABASE_PUT_BACK = "database_put_back"
    CLOCK_WENT_BACK = "clock_went_back"
    KEY_UNAVAILABLE = "key_unavailable"
    REGISTER_UNAVAILABLE = "register_unavailable"
    REGISTER_PUT_BACK = "register_put_back"
    LOG_UNAVAILABLE = "log_unavailable"
    INTERNAL = "internal"


_DETAILS: dict[RefusalCode, str] = {
    RefusalCode.PEER_REFUSED: "this user may not talk to the enclave",
    RefusalCode.MESSAGE_TOO_LARGE: "the message is larger than the enclave reads",
    RefusalCode.MESSAGE_NOT_CANONICAL: "the message is not canonical JSON (sorted keys, no spaces, ASCII)",
    RefusalCode.MESSAGE_FIELDS_REFUSED: "the message does not have exactly the fields of its purpose",
    RefusalCode.FACTS_UNAVAILABLE: "the enclave could not look at the database",
    RefusalCode.PAYOUT_UNKNOWN: "the database holds no such payout",
    RefusalCode.STATE_NOT_SUBMITTED: "the payout is not in the state submitted",
    RefusalCode.ATTEMPT_NOT_OPEN: "the attempt is not the payout's open one",
    RefusalCode.ALREADY_SENT: "an earlier attempt may have reached the bank",
    RefusalCode.ORDER_DIGEST_MISMATCH: "the stored order no longer has the digest it was stored with",
    RefusalCode.ORDER_FIELDS_DIFFER: "the payout differs from the order it was made from",
    RefusalCode.NOT_CLEARED: "no clearance has been redeemed for the payout",
    RefusalCode.CLEARANCE_FOR_OTHER_ORDER: "the clearance is bound to another order",
    RefusalCode.RAIL_MISMATCH: "the profile is not the payout's rail",
    RefusalCode.TARGET_REFUSED: "a body of this profile goes to another target",
    RefusalCode.BODY_UNREADABLE: "the body cannot be read as a payment of this profile",
    RefusalCode.BODY_AMOUNT_DIFFERS: "the body's amount is not the payout's",
    RefusalCode.BODY_CURRENCY_DIFFERS: "the body's currency is not the payout's, or the rail's",
    RefusalCode.BODY_CREDITOR_DIFFERS: "the body's creditor is not the payout's",
    RefusalCode.BODY_DEBTOR_DIFFERS: "the body's debtor is not the payout's",
    RefusalCode.BODY_REFERENCE_DIFFERS: "the body's references are not the payout's",
    RefusalCode.BODY_UNKNOWN_FIELD: "the body holds a field that nothing in the payout accounts for",
    RefusalCode.AMOUNT_NOT_POSITIVE: "the amount is not positive",
    RefusalCode.OVER_PAYMENT_LIMIT: "the amount is over the limit for one payment",
    RefusalCode.OVER_HOUR_LIMIT: "with it the programme would pay out more in an hour than it may",
    RefusalCode.OVER_DAY_LIMIT: "with it the programme would pay out more in a day than it may",
    RefusalCode.SIGNED_OTHER_BODY: "another body was signed for this payout before",
    RefusalCode.SIGNED_OTHER_SCHEME: "this payout was signed by another scheme before",
    RefusalCode.SIGNED_OTHER_TARGET: "this payout was signed for another target before",
    RefusalCode.BENEFICIARY_UNVERIFIED: "nobody has verified the account that the money goes to, as it stands",
    RefusalCode.BENEFICIARY_COOLING: "the account that the money goes to was changed too short a time ago",
    RefusalCode.SCREENING_STALE: "the order was screened too long ago",
    RefusalCode.APPROVALS_MISSING: "too few people have approved this order with keys of theirs",
    RefusalCode.APPROVER_IS_INITIATOR: "without the approval of the one who ordered it there are too few",
    RefusalCode.QUERY_PATH_REFUSED: "the profile does not ask this path by this method",
    RefusalCode.QUERY_TIME_REFUSED: "the request time is not close to the enclave's clock",
    RefusalCode.MESSAGE_SHAPE_REFUSED: "the body does not have the exact shape of its profile",
    RefusalCode.WEBHOOK_PAYLOAD_REFUSED: "the payload is not a JSON object",
    RefusalCode.TOKEN_LIFETIME_REFUSED: "a token lives from one second to one hour",
    RefusalCode.TOKEN_CLOCK_REFUSED: "the time of issue is not close to the enclave's clock",
    RefusalCode.CHECKPOINT_REWINDS: "a larger checkpoint of this log was signed before",
    RefusalCode.CHECKPOINT_BEYOND_LOG: "the database holds no such log, or not so many leaves of it",
    RefusalCode.CHECKPOINT_FORKS: "another root was signed for this size, or the leaves have another one",
    RefusalCode.CHECKPOINT_GROWING: "the enclave has not read all leaves up to this size yet: ask again",
    RefusalCode.MANIFEST_UNREADABLE: "the manifest is not a JSON object, or is too large",
    RefusalCode.MANIFEST_FORMAT_REFUSED: "the manifest is not a tallystick-export with files",
    RefusalCode.NOT_MEASURED: "the enclave was not measured when it started",
    RefusalCode.CARDS_OVER_HOUR: "the programme has had as many cards taken in in an hour as it may",
    RefusalCode.CARD_VAULT_CLOSED: "this enclave holds no keys for cards",
    RefusalCode.CARD_RECIPIENT_UNKNOWN: "no recipient of this name was configured when the enclave started",
    RefusalCode.CARD_UNREADABLE: "the card is not a JWE that opens with the enclave's key",
    RefusalCode.CARD_KEY_UNKNOWN: "the card was encrypted or sealed under a key that the enclave does not have",
    RefusalCode.CARD_FIELDS_REFUSED: "a card has exactly a number, an expiry month and an expiry year",
    RefusalCode.CARD_NUMBER_REFUSED: "the digits are not a card's number",
    RefusalCode.CARD_EXPIRED: "the card's last month is over",
    RefusalCode.CARD_CONTEXT_MISMATCH: "the sealed card does not belong to what it came with",
    RefusalCode.CARD_KEY_WORN_OUT: "the key has sealed as often as a key may: it is time for the next version",
    RefusalCode.MIRROR_UNAVAILABLE: "the enclave's log could not be held against the database",
    RefusalCode.LOG_PUT_BACK: "the database knows a head of the enclave's log that the log does not have",
    RefusalCode.DATABASE_PUT_BACK: "the enclave's log knows a head that the database has lost",
    RefusalCode.CLOCK_WENT_BACK: "the enclave's clock is behind its own log",
    RefusalCode.KEY_UNAVAILABLE: "no key of this purpose was admitted for now, or the token does not give it",
    RefusalCode.REGISTER_UNAVAILABLE: "which keys were admitted could not be read",
    RefusalCode.REGISTER_PUT_BACK: "the custodians' resolutions end earlier than they were seen to, or otherwise",
    RefusalCode.LOG_UNAVAILABLE: "the decision could not be made durable in the log",
    RefusalCode.INTERNAL: "the enclave failed; nothing was signed",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no signature."""

    code: RefusalCode
    detail: str


def refusal(code: RefusalCode) -> Refusal:
    """The refusal with its fixed sentence."""
    return Refusal(code=code, detail=_DETAILS[code])
