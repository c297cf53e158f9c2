"""What a bank says about one payment: its ids, its parties, what it was for, and why it came back.

An entry has one of these for each payment in it; a batch has many. Units: minor units, signed as the account
saw it (positive is a credit).
Source: ISO 20022 EntryTransaction; the words are those of the message where they have one.
"""

from dataclasses import dataclass

from partners.messages.wire_values import Amount


@dataclass(frozen=True, slots=True)
class Account:
    """An account, by its IBAN or by the number that its bank uses instead."""

    iban: str | None
    other_id: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a payment; whatever the bank did not say is None."""

    name: str | None = None
    account: Account | None = None
    bic: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """A fee that belongs to an entry or a payment. `included` says that it is in the booked amount already."""

    amount: Amount  # signed
    included: bool | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class GivenReason:
    """Why a bank says it did not do it: ISO's code or the bank's own, and what the bank added in words."""

    code: str | None
    own_code: str | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One payment of an entry."""

    message_id: str | None = None
    payment_information_id: str | None = None
    instruction_id: str | None = None
    end_to_end_id: str | None = None  # None too where the bank writes NOTPROVIDED
    tx_id: str | None = None
    uetr: str | None = None
    mandate_id: str | None = None
    bank_reference: str | None = None  # AcctSvcrRef
    amount: Amount | None = None  # signed, in the account's currency
    instructed: Amount | None = None  # as it was ordered, perhaps in another currency
    exchange_rate: str | None = None
    charges: tuple[Charge, ...] = ()
    bank_code: str = ""
    own_code: str | None = None
    debtor: Party | None = None
    ultimate_debtor: Party | None = None
    creditor: Party | None = None
    ultimate_creditor: Party | None = None
    purpose: str | None = None
    remittance: tuple[str, ...] = ()  # every Ustrd
    references: tuple[str, ...] = ()  # every creditor reference of the structured remittance
    documents: tuple[str, ...] = ()  # numbers of invoices and the like
    returned: GivenReason | None = None
    additional: str | None = None
