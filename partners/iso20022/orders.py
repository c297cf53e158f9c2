"""A payment order as a file: pain.001.001.09 with one payment, of which every byte follows from the order alone.

The digits of the payout's id are the message's id, its group's and its payment's, and, in the shape that ISO 20022
wants, its UETR: so the bank's reports of any of them lead back to the payout. The time that the file says it was made
at is the one that the payout was ordered for, so that a second try writes the same bytes as the first.

One payment to a file: a file is signed as a whole, and a signature is given for one approved payout.
"""

from datetime import datetime
from io import BytesIO
from typing import Final, assert_never
from uuid import UUID

from ledger.core.errors import InvalidValue
from ledger.core.ids import is_id, to_uuid
from partners.contract import Accepted, Answer, Instruction, Outcome, Rail, Request, Signing, Unknown
from partners.iso20022.bookings import ZONE
from partners.messages.dialects import Dialect, OwnBankAs
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup, write_credit_transfers

PREFIX: Final = "pay"
STORED: Final = 201  # what the host says of a file that lies where the bank takes it up
# Without booking in batches, so that every payment is a line of its own in the statement.
DIALECT: Final = Dialect(name="iso20022", own_bank_as=OwnBankAs.NOT_PROVIDED)


def prepare(instruction: Instruction) -> Request:
    """The order as a file: the same instruction always gives the same bytes.

    Raises: InvalidValue when the instruction cannot be said in SEPA's messages (naming the field).
    """
    message_id = message_id_of(instruction.payout_id)
    out = BytesIO()
    write_credit_transfers(_file(instruction, message_id), out, dialect=DIALECT)
    return Request(
        "PUT",
        f"/{message_id}.xml",
        out.getvalue(),
        signing=Signing.PAYOUT,
        profile=_profile(instruction.rail),
        media_type="application/xml",
    )


def interpret(instruction: Instruction, answer: Answer) -> Outcome:
    """What it means that a file lies there: the bank has the order, and nothing more is to be done.

    It has said nothing of it yet, and cannot be asked: its status report, notification or statement moves the payout
    on. Another file of the same name can only be another message about the same payout, which the bank may act on.
    """
    if answer.status == STORED:
        return Accepted((("file", f"{message_id_of(instruction.payout_id)}.xml"),))
    return Unknown(f"a file of this name, and of another content, lies there: {answer.status}")


def message_id_of(payout_id: str) -> str:
    """The id of the message that orders a payout. Raises: InvalidValue."""
    if not is_id(PREFIX, payout_id):
        raise InvalidValue("This is not the id of a payout.", field="payout_id")
    return to_uuid(PREFIX, payout_id).hex


def request_id_of(message_id: str) -> str | None:
    """The payout that a message of ours orders; None for a message that is none of ours."""
    payout_id = f"{PREFIX}_{message_id}"
    return payout_id if is_id(PREFIX, payout_id) else None


def _file(order: Instruction, message_id: str) -> CreditTransferFile:
    payment = Payment(
        instruction_id=message_id,
        end_to_end_id=order.end_to_end_id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        creditor=AccountHolder(name=order.creditor_name, iban=order.creditor_iban),
        remittance=order.remittance,
        uetr=str(UUID(hex=message_id, version=4)),
    )
    group = PaymentGroup(
        group_id=message_id,
        rail=order.rail,
        debtor=AccountHolder(name=order.debtor_name, iban=order.debtor_iban),
        execute_at=_aware(order.ordered_at).astimezone(ZONE).date(),
        payments=(payment,),
    )
    header = Header(message_id=message_id, created_at=order.ordered_at, initiating_party=order.debtor_name)
    return CreditTransferFile(header, (group,))


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidValue("A time needs its zone.", field="ordered_at")
    return moment


def _profile(rail: Rail) -> str:
    match rail:
        case Rail.SCT:
            return "iso20022.sct"
        case Rail.SCT_INST:
            return "iso20022.sct_inst"
        case _:
            assert_never(rail)
