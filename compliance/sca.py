"""Strong customer authentication: a payer's own key signs the amount and the payees of one checkout.

`enrol` keeps a payer's public key, `ask` writes down a challenge, `answer` checks the signature over the
challenge's very bytes. A right answer is accepted once; a wrong one is counted, and the fifth locks the
authentication. Wrong answers are results and not errors, so that the count commits with the caller's
transaction. Nothing here tells which element was wrong: a missing key, a foreign key and a bent signature
answer alike.

Source: RTS (EU) 2018/389 article 4 (codes, failures), article 5 (dynamic linking: amount and payee are shown,
signed, and bound to the order).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from compliance import store
from compliance.facts import AuthenticationFact, PartyFact
from compliance.policy import Policies
from compliance.rules.strong_authentication import digest_hex
from ledger.core.canonical import canonical_text
from ledger.core.errors import Conflict, InvalidValue, NotFound
from ledger.core.ids import PartyId, ProgrammeId
from ledger.core.orders import CheckoutOrder
from ledger.store.tx import Tx

PUBLIC_KEY_LETTERS_MAX = 1_000
SIGNATURE_BYTES_MAX = 72  # DER of two 256-bit integers
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a payer is to sign: `text`, byte for byte as it stands (ASCII), until `expires_at`."""

    authentication_id: str
    checkout_id: str
    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The payer has authenticated; the checkout may be screened again."""

    authentication_id: str
    subject_id: str
    answered_at: datetime


class AnswerCode(StrEnum):
    """Why an answer was not accepted."""

    UNKNOWN = "authentication_unknown"
    EXPIRED = "authentication_expired"
    LOCKED = "authentication_locked"
    SPENT = "authentication_spent"
    WRONG = "signature_wrong"


@dataclass(frozen=True, slots=True)
class AnswerRefused:
    """An answer that was not accepted."""

    code: AnswerCode


def enrol(tx: Tx, programme_id: ProgrammeId, *, party_id: PartyId, public_key_pem: str) -> str:
    """Enrols a party's public key and gives the authenticator's id; from now on the newest key answers.

    Raises: InvalidValue (field public_key) unless it is one PEM of an EC P-256 public key; NotFound for a
    party that is not the programme's.
    """
    pem = _p256_pem(public_key_pem)
    _party(store.parties_by_id(tx, [party_id]), programme_id, party_id)
    authenticator_id = tx.new_id("atc")
    row = {
        "id": authenticator_id,
        "programme_id": programme_id,
        "party_id": party_id,
        "public_key_pem": pem,
        "created_at": tx.now,
    }
    store.insert_authenticator(tx, row)
    return authenticator_id


def ask(tx: Tx, policies: Policies, orders: Sequence[CheckoutOrder]) -> tuple[Challenge, ...]:
    """One challenge for each checkout, in the order given. A checkout that was asked about keeps its
    challenge.

    Raises: NotFound for a seller that is not the programme's; Conflict when a checkout's id was asked about
    for another order; InvalidValue when no policy is valid on the transaction's day.
    """
    if not orders:
        return ()
    minutes = policies.policy_now(tx.now).authentication_minutes
    expires_at = tx.now.astimezone(UTC) + timedelta(minutes=minutes)
    sellers = store.parties_by_id(tx, {line.seller_id for order in orders for line in order.lines})
    store.insert_authentications(tx, [_asked_row(tx, order, sellers, expires_at) for order in orders])
    checkout_ids = {order.checkout_id for order in orders}
    _refuse_other_orders(store.authentications_by_subject(tx, checkout_ids), orders)
    asked = store.challenges_by_subject(tx, checkout_ids)
    return tuple(_challenge(order, asked[order.checkout_id]) for order in orders)


def answer(
    tx: Tx, policies: Policies, *, programme_id: ProgrammeId, subject_id: str, signature: bytes
) -> Answered | AnswerRefused:
    """Accepts a payer's signature over its challenge, once. `signature` is DER ECDSA P-256 with SHA-256.

    Commit the transaction whatever comes back: a refusal may have counted a failure.
    Raises: InvalidValue when no policy is valid on the transaction's day.
    """
    asked = store.lock_authentication(tx, programme_id, subject_id)
    if asked is None:
        return AnswerRefused(AnswerCode.UNKNOWN)
    if (closed := _closed(asked, tx.now)) is not None:
        return AnswerRefused(closed)
    key_pem = store.newest_public_key(tx, programme_id, asked.party_id)
    if key_pem is None or not _is_signed(asked.challenge, signature, key_pem):
        failures = asked.failures + 1
        failures_max = policies.policy_now(tx.now).authentication_failures_max
        state = "locked" if failures >= failures_max else "asked"
        store.record_failure(tx, asked.id, failures=failures, state=state)
        return AnswerRefused(AnswerCode.WRONG)
    store.record_answer(tx, asked.id)
    return Answered(asked.id, subject_id, tx.now)


def _closed(asked: store.Asked, now: datetime) -> AnswerCode | None:
    if asked.state == "answered":
        return AnswerCode.SPENT
    if asked.state == "locked":
        return AnswerCode.LOCKED
    return AnswerCode.EXPIRED if now >= asked.expires_at else None


def _is_signed(challenge: str, signature: bytes, key_pem: str) -> bool:
    if len(signature) > SIGNATURE_BYTES_MAX:
        return False
    try:
        _p256_key(key_pem).verify(signature, challenge.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _p256_pem(text: str) -> str:
    key = _p256_key(text)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _p256_key(text: str) -> ec.EllipticCurvePublicKey:
    if len(text) > PUBLIC_KEY_LETTERS_MAX:
        raise InvalidValue("A public key is one short PEM.", field="public_key")
    try:
        key = load_pem_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidValue("This is not the PEM of a public key.", field="public_key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidValue("A public key is on the curve P-256.", field="public_key")
    return key


def _asked_row(
    tx: Tx, order: CheckoutOrder, sellers: Mapping[str, PartyFact], expires_at: datetime
) -> dict[str, Any]:
    authentication_id = tx.new_id("sca")
    payees = {_party(sellers, order.programme_id, line.seller_id).name for line in order.lines}
    text = canonical_text(
        {
            "authentication_id": authentication_id,
            "amount_minor": order.amount_minor,
            "currency": order.currency,
            "checkout_id": order.checkout_id,
            "expires_at": expires_at.isoformat(),
            "nonce": tx.random_bytes(NONCE_BYTES).hex(),
            "order_digest": digest_hex(order),
            "payees": sorted(payees),
        }
    )
    return {
        "id": authentication_id,
        "programme_id": order.programme_id,
        "party_id": order.payer_id,
        "subject_id": order.checkout_id,
        "challenge": text,
        "failures": 0,
        "state": "asked",
        "expires_at": expires_at,
        "asked_at": tx.now,
    }


def _party(parties: Mapping[str, PartyFact], programme_id: ProgrammeId, party_id: PartyId) -> PartyFact:
    party = parties.get(party_id)
    if party is None or party.programme_id != programme_id:
        raise NotFound("party", party_id)
    return party


def _refuse_other_orders(asked: Mapping[str, AuthenticationFact], orders: Sequence[CheckoutOrder]) -> None:
    for order in orders:
        if asked[order.checkout_id].order_digest != digest_hex(order):
            raise Conflict(f"Authentication for {order.checkout_id} was asked for another order.")


def _challenge(order: CheckoutOrder, asked: store.Asked) -> Challenge:
    return Challenge(asked.id, order.checkout_id, asked.challenge, asked.expires_at)
