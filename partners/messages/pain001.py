"""Writing a customer credit transfer initiation: pain.001.001.09, or .03 for a bank of the edition of 2009.

A file is checked whole before its first byte is written; the same file always gives the same bytes, so that who signs
it can compare them. There is no upper bound for instant payments but that of the message itself.

Source: ISO 20022 pain.001.001.09 and .03; EPC132-08 (SCT) and EPC121-16 (SCT Inst) customer-to-bank guidelines of 2025.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO, Final, assert_never

from ledger.core.errors import InvalidValue
from partners.contract import Rail
from partners.messages.dialects import Dialect, Edition
from partners.messages.fields import check_moment, check_uetr, moment_text
from partners.messages.frame import Header, Message, amount_xml
from partners.messages.holders import (
    AccountHolder,
    account_xml,
    bank_xml,
    check_holder,
    check_own,
    own_bank_xml,
    party_xml,
)
from partners.messages.remittance import Remittance, remittance_xml


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One credit transfer. Units: minor units of `currency`."""

    instruction_id: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    creditor: AccountHolder
    remittance: Remittance = None
    uetr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentGroup:
    """Payments from one account, over one rail, for one day or, where the bank takes them, one time of it."""

    group_id: str
    rail: Rail
    debtor: AccountHolder
    execute_at: date | datetime
    payments: Sequence[Payment]
    batch_booking: bool = False


@dataclass(frozen=True, slots=True)
class CreditTransferFile:
    """A file of credit transfers. Its sequences are gone through twice."""

    header: Header
    groups: Sequence[PaymentGroup]


def write_credit_transfers(file: CreditTransferFile, out: BinaryIO, *, dialect: Dialect) -> None:
    """Writes the file in the bank's dialect, piece by piece.

    Raises: InvalidValue before anything is written, naming the place: `groups[0].payments[12].creditor.iban`.
    """
    _TRANSFERS.write(file.header, file.groups, out=out, dialect=dialect)


def _payments(group: PaymentGroup) -> Sequence[Payment]:
    return group.payments


def _check_group(group: PaymentGroup, dialect: Dialect) -> None:
    check_own(group.debtor, field="debtor", dialect=dialect)
    if isinstance(group.execute_at, datetime):
        check_moment(group.execute_at, field="execute_at")
        if not dialect.execution_times:
            raise InvalidValue("This bank takes days of execution only.", field="execute_at")


def _check_payment(_group: PaymentGroup, payment: Payment, dialect: Dialect) -> None:
    if dialect.uetr:
        check_uetr(payment.uetr or "", field="uetr")
    check_holder(payment.creditor, field="creditor", dialect=dialect)


def _group_xml(group: PaymentGroup, dialect: Dialect) -> str:
    return (
        f"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl>{_local_instrument_xml(group.rail, dialect)}</PmtTpInf>"
        f"<ReqdExctnDt>{_execution_xml(group.execute_at, dialect)}</ReqdExctnDt>"
        f"{party_xml('Dbtr', group.debtor)}{account_xml('DbtrAcct', group.debtor)}"
        f"{own_bank_xml('DbtrAgt', group.debtor, dialect=dialect)}<ChrgBr>SLEV</ChrgBr>"
    )


def _local_instrument_xml(rail: Rail, dialect: Dialect) -> str:
    match rail:
        case Rail.SCT:
            return ""
        case Rail.SCT_INST:
            return f"<LclInstrm><{dialect.instant_as}>INST</{dialect.instant_as}></LclInstrm>"
        case _:
            assert_never(rail)


def _execution_xml(execute_at: date | datetime, dialect: Dialect) -> str:
    if isinstance(execute_at, datetime):  # first, because it is a date as well
        return f"<DtTm>{moment_text(execute_at)}</DtTm>"
    day = execute_at.isoformat()
    return day if dialect.edition is Edition.OF_2009 else f"<Dt>{day}</Dt>"


def _payment_xml(payment: Payment, dialect: Dialect) -> str:
    creditor = payment.creditor
    bank = "" if creditor.bic is None else bank_xml("CdtrAgt", creditor.bic, dialect=dialect)
    return (
        f"<CdtTrfTxInf>{_ids_xml(payment, dialect)}<Amt>{amount_xml(payment)}</Amt>{bank}"
        f"{party_xml('Cdtr', creditor)}{account_xml('CdtrAcct', creditor)}"
        f"{remittance_xml(payment.remittance)}</CdtTrfTxInf>"
    )


def _ids_xml(payment: Payment, dialect: Dialect) -> str:
    uetr = f"<UETR>{payment.uetr}</UETR>" if dialect.uetr else ""
    return (
        f"<PmtId><InstrId>{payment.instruction_id}</InstrId>"
        f"<EndToEndId>{payment.end_to_end_id}</EndToEndId>{uetr}</PmtId>"
    )


_TRANSFERS: Final = Message(
    name={Edition.OF_2009: "pain.001.001.03", Edition.OF_2019: "pain.001.001.09"},
    root="CstmrCdtTrfInitn",
    method="TRF",
    items_name="payments",
    items=_payments,
    check_group=_check_group,
    check_item=_check_payment,
    group_xml=_group_xml,
    item_xml=_payment_xml,
)
