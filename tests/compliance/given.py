"""What the gate's tests start from: orders of one cart, the policy of the day, and parties in the book."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from compliance.facts import Facts, ListHead, PartyFact, SanctionsList
from compliance.policy import POLICY_FILE, Policies, Policy, load_policies
from compliance.watchlist import Watchlist
from ledger.core.ids import AccountId, CheckoutId, PartyId, PayoutId, ProgrammeId, RefundId, to_text
from ledger.core.money import Split, SplitTo
from ledger.core.orders import (
    CaptureOrder,
    CheckoutOrder,
    DepositOrder,
    Line,
    LineAmount,
    OnboardOrder,
    PayoutOrder,
    RefundOrder,
    Role,
    SweepOrder,
    end_to_end_id_of,
)
from ledger.store.rows import insert_rows
from ledger.store.schema import parties
from ledger.store.tx import Tx

NOW = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)


def some_id(prefix: str, number: int) -> str:
    return to_text(prefix, UUID(int=number))


PROGRAMME, OTHER_PROGRAMME = (ProgrammeId(some_id("prg", number)) for number in (1, 2))
ANA, HOTEL, SOUNDBAR, LEA = (PartyId(some_id("pty", number)) for number in (1, 2, 3, 4))
WALLET = AccountId(some_id("acct", 1))
NAMES = {ANA: "Ana Moreau", HOTEL: "Hotel Mirador SL", SOUNDBAR: "Soundbar GmbH", LEA: "Lea Brandt"}
LISTED = "ZUBAROV, Viktor A."
ZUBAROV = "Viktor Anatolyevich Zubarov"


def policies() -> Policies:
    return load_policies(POLICY_FILE)


def policy() -> Policy:
    return policies().policy_now(NOW)


def onboard(name: str = "Ana Moreau", *, payout_name: str | None = None, number: int = 9) -> OnboardOrder:
    return OnboardOrder(
        party_id=PartyId(some_id("pty", number)),
        programme_id=PROGRAMME,
        role=Role.CUSTOMER,
        name=name,
        reference=f"customer-{number}",
        payout_name=payout_name,
        payout_iban=None if payout_name is None else "ES9121000418450200051332",
        commission_bps=None,
    )


def deposit(
    debtor_name: str = "Ana Moreau", *, amount_minor: int = 50_000, currency: str = "EUR"
) -> DepositOrder:
    return DepositOrder(
        deposit_id=some_id("dep", 1),
        programme_id=PROGRAMME,
        account_id=WALLET,
        amount_minor=amount_minor,
        currency=currency,
        debtor_name=debtor_name,
        debtor_iban="FR1420041010050500013M02606",
    )


def line(reference: str, seller_id: PartyId, amount_minor: int, *, creator_id: PartyId | None = None) -> Line:
    creator = () if creator_id is None else (Split(SplitTo.CREATOR, creator_id, 500),)
    splits = (*creator, Split(SplitTo.SELLER, None, None))
    return Line(
        reference=reference,
        seller_id=seller_id,
        quantity=1,
        unit_minor=amount_minor,
        amount_minor=amount_minor,
        splits=splits,
    )


def checkout(
    amount_minor: int = 3_000, *, currency: str = "EUR", number: int = 1, creator_id: PartyId | None = None
) -> CheckoutOrder:
    """A cart of a hotel night and a loudspeaker, the loudspeaker at ten euro."""
    lines = (
        line("room", HOTEL, amount_minor - 1_000),
        line("speaker", SOUNDBAR, 1_000, creator_id=creator_id),
    )
    return CheckoutOrder(
        checkout_id=CheckoutId(some_id("chk", number)),
        programme_id=PROGRAMME,
        payer_id=ANA,
        reference=f"cart-{number}",
        currency=currency,
        amount_minor=amount_minor,
        lines=lines,
        expires_at=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
    )


def capture(amount_minor: int = 1_000, *, reference: str = "speaker", number: int = 1) -> CaptureOrder:
    return CaptureOrder(
        capture_id=some_id("cap", number),
        programme_id=PROGRAMME,
        checkout_id=CheckoutId(some_id("chk", number)),
        lines=(LineAmount(line=reference, amount_minor=amount_minor),),
    )


def refund(amount_minor: int = 1_000, *, reference: str = "speaker") -> RefundOrder:
    return RefundOrder(
        refund_id=RefundId(some_id("rfd", 1)),
        programme_id=PROGRAMME,
        checkout_id=CheckoutId(some_id("chk", 1)),
        lines=(LineAmount(line=reference, amount_minor=amount_minor),),
    )


def payout(
    creditor_name: str = "Hotel Mirador SL",
    *,
    amount_minor: int = 20_000,
    currency: str = "EUR",
    rail: str = "SCT",
    number: int = 1,
) -> PayoutOrder:
    return PayoutOrder(
        payout_id=PayoutId(some_id("pay", number)),
        programme_id=PROGRAMME,
        party_id=HOTEL,
        account_id=WALLET,
        reference=f"payout-{number}",
        rail=rail,
        amount_minor=amount_minor,
        currency=currency,
        creditor_name=creditor_name,
        creditor_iban="ES9121000418450200051332",
        debtor_name="Pay EU B.V.",
        debtor_iban="NL91ABNA0417164300",
        end_to_end_id=end_to_end_id_of(PayoutId(some_id("pay", number))),
        remittance="November",
        initiator="cli_desk",
    )


def sweep(amount_minor: int = 20_000) -> SweepOrder:
    return SweepOrder(
        payout_id=PayoutId(some_id("pay", 2)),
        programme_id=PROGRAMME,
        account_id=WALLET,
        reference="sweep-1",
        rail="SCT",
        amount_minor=amount_minor,
        currency="EUR",
        creditor_name="Pay EU B.V.",
        creditor_iban="DE75512108001245126199",
        debtor_name="Pay EU B.V.",
        debtor_iban="NL91ABNA0417164300",
        end_to_end_id=end_to_end_id_of(PayoutId(some_id("pay", 2))),
        remittance="Commission",
        initiator="cli_desk",
    )


def sanctions_list(*names: str, legal_basis: str = "un") -> SanctionsList:
    head = ListHead(some_id("lst", 1), PROGRAMME, "consolidated", "ab" * 32, legal_basis)
    return SanctionsList(head, Watchlist.of((f"E{place}", name) for place, name in enumerate(names)))


def facts(*, lists: Sequence[SanctionsList] | None = None) -> Facts:
    """Everyone active, one list with one name on it, nothing asked or answered."""
    return Facts(
        policy=policy(),
        parties={
            party_id: PartyFact(party_id, PROGRAMME, name, active=True) for party_id, name in NAMES.items()
        },
        owners={},
        holds={},
        moved={},
        checkouts={},
        authentications={},
        lists={PROGRAMME: (sanctions_list(LISTED),) if lists is None else tuple(lists)},
    )


def with_party(known: Facts, party: PartyFact) -> Facts:
    return replace(known, parties={**known.parties, party.id: party})


def book_parties(tx: Tx, programme_id: ProgrammeId, *, held: Sequence[PartyId] = ()) -> None:
    """Puts the parties of the story into the database."""
    roles = {ANA: "customer", HOTEL: "merchant", SOUNDBAR: "merchant", LEA: "creator"}
    rows = [
        {
            "id": party_id,
            "programme_id": programme_id,
            "role": roles[party_id],
            "name": name,
            "reference": name,
            "status": "held" if party_id in held else "active",
            "created_at": tx.now,
        }
        for party_id, name in NAMES.items()
    ]
    insert_rows(tx, parties, rows)


def key_pair() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """A payer's device: its private key, and the public key as PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    return private, pem


def sign(private: ec.EllipticCurvePrivateKey, text: str) -> bytes:
    return private.sign(text.encode("ascii"), ec.ECDSA(hashes.SHA256()))
