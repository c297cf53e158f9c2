"""Files of credit transfers: true to the schema and to what was asked, in every dialect, and always the same bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any, overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.contract import Rail
from partners.messages.dialects import SEPA, SEPA_OF_2009, Dialect, Edition
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder, Address
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup, write_credit_transfers
from partners.messages.remittance import CreditorReference
from tests.partners.messages.arbitrary import DIALECTS, SPARING, transfer_files
from tests.partners.messages.judge import judged
from tests.partners.messages.plain import GROUP, HEADER, PAYEE, PAYER, PAYMENT, TRANSFERS
from tests.partners.messages.read_back import every, minor, read_transfers, text

NAMES = {Edition.OF_2009: "pain.001.001.03", Edition.OF_2019: "pain.001.001.09"}
MANY = 10_000


def written(file: CreditTransferFile, dialect: Dialect = SEPA) -> bytes:
    out = BytesIO()
    write_credit_transfers(file, out, dialect=dialect)
    return out.getvalue()


def of_payments(*payments: Payment, **changed: Any) -> CreditTransferFile:
    return CreditTransferFile(HEADER, (replace(GROUP, payments=payments, **changed),))


def refusal(file: CreditTransferFile, dialect: Dialect = SEPA) -> InvalidValue:
    out = BytesIO()
    with pytest.raises(InvalidValue) as refused:
        write_credit_transfers(file, out, dialect=dialect)
    assert not out.getvalue(), "nothing is written of a file with a fault"
    return refused.value


@given(st.data(), st.sampled_from(DIALECTS))
def test_any_file_is_valid_adds_up_and_reads_back_as_it_was_asked(
    data: st.DataObject, dialect: Dialect
) -> None:
    file = data.draw(transfer_files(dialect))

    root = judged(written(file, dialect), NAMES[dialect.edition])

    assert read_transfers(root) == file
    assert [int(node.text or "") for node in every(root, "*/PmtInf/NbOfTxs")] == [
        len(group.payments) for group in file.groups
    ]
    assert [minor(node, "CtrlSum") for node in every(root, "*/PmtInf")] == [
        sum(payment.amount_minor for payment in group.payments) for group in file.groups
    ]
    assert int(text(root, "*/GrpHdr/NbOfTxs")) == len(every(root, "*/PmtInf/CdtTrfTxInf"))
    assert minor(root, "*/GrpHdr/CtrlSum") == sum(
        minor(order, "Amt/InstdAmt") for order in every(root, "*/PmtInf/CdtTrfTxInf")
    )


def test_a_plain_file_is_these_bytes() -> None:
    assert written(TRANSFERS).decode("ascii") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>'
        "<GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2026-11-23T08:30:00.000Z</CreDtTm>"
        "<NbOfTxs>1</NbOfTxs><CtrlSum>12.34</CtrlSum><InitgPty><Nm>Tally Pay BV</Nm></InitgPty></GrpHdr>"
        "<PmtInf><PmtInfId>G-1</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>false</BtchBookg>"
        "<NbOfTxs>1</NbOfTxs><CtrlSum>12.34</CtrlSum><PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>"
        "<ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt><Dbtr><Nm>Tally Pay BV</Nm></Dbtr>"
        "<DbtrAcct><Id><IBAN>NL91ABNA0417164300</IBAN></Id></DbtrAcct>"
        "<DbtrAgt><FinInstnId><BICFI>ABNANL2A</BICFI></FinInstnId></DbtrAgt><ChrgBr>SLEV</ChrgBr>"
        "<CdtTrfTxInf><PmtId><InstrId>I-1</InstrId><EndToEndId>E-1</EndToEndId>"
        "<UETR>6e1f1a10-8a52-4f0c-9d39-3a2d4b7a9f01</UETR></PmtId>"
        '<Amt><InstdAmt Ccy="EUR">12.34</InstdAmt></Amt><Cdtr><Nm>Maria Garcia</Nm></Cdtr>'
        "<CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct>"
        "<RmtInf><Ustrd>Invoice 17</Ustrd></RmtInf></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>\n"
    )


def test_a_file_written_again_is_the_same_bytes_and_holds_no_group_twice() -> None:
    first = written(TRANSFERS)

    again = written(TRANSFERS)

    assert again == first
    assert again.count(b"<PmtInf>") == again.count(b"<CdtTrfTxInf>") == 1


@pytest.mark.parametrize(
    ("dialect", "element"),
    [
        (SEPA, b"<LclInstrm><Cd>INST</Cd></LclInstrm>"),
        (SPARING, b"<LclInstrm><Prtry>INST</Prtry></LclInstrm>"),
    ],
)
def test_instant_payments_say_so_in_the_element_that_the_bank_reads(dialect: Dialect, element: bytes) -> None:
    assert element in written(of_payments(PAYMENT, rail=Rail.SCT_INST), dialect)


def test_an_instant_payment_may_be_above_the_old_hundred_thousand() -> None:
    large = replace(PAYMENT, amount_minor=999_999_999_99)

    assert b">999999999.99<" in written(of_payments(large, rail=Rail.SCT_INST))


def test_a_bank_that_reads_no_bic_is_told_none_of_its_own() -> None:
    document = written(TRANSFERS, SPARING)

    assert b"<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>" in document
    assert b"ABNANL2A" not in document


def test_a_time_of_execution_is_written_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-24T09:15:00.250+01:00")

    assert b"<ReqdExctnDt><DtTm>2026-11-24T08:15:00.250Z</DtTm></ReqdExctnDt>" in written(
        of_payments(PAYMENT, execute_at=at)
    )


BERLIN = Address(town="Berlin", country="DE", lines=("Hinterhaus", "3. Stock"))


def to(holder: AccountHolder) -> CreditTransferFile:
    return of_payments(replace(PAYMENT, creditor=holder))


def at(address: Address) -> CreditTransferFile:
    return to(replace(PAYEE, address=address))


FIRST = "groups[0].payments[0]."


@pytest.mark.parametrize(
    ("file", "field"),
    [
        (replace(TRANSFERS, header=replace(HEADER, message_id="a//b")), "message_id"),
        (replace(TRANSFERS, header=replace(HEADER, message_id="")), "message_id"),
        (replace(TRANSFERS, header=replace(HEADER, message_id="x" * 36)), "message_id"),
        (replace(TRANSFERS, header=replace(HEADER, created_at=datetime(2026, 1, 1))), "created_at"),  # noqa: DTZ001  just that
        (replace(TRANSFERS, header=replace(HEADER, initiating_party="Größe")), "initiating_party"),
        (replace(TRANSFERS, header=replace(HEADER, initiating_party_id="a_b")), "initiating_party_id"),
        (replace(TRANSFERS, groups=()), "groups"),
        (replace(TRANSFERS, groups=(GROUP, GROUP)), "groups[1].group_id"),
        (
            replace(TRANSFERS, groups=(GROUP, replace(GROUP, group_id="G-2"))),
            "groups[1].payments[0].instruction_id",
        ),
        (of_payments(), "groups[0].payments"),
        (of_payments(PAYMENT, group_id="/G"), "groups[0].group_id"),
        (of_payments(PAYMENT, execute_at=datetime(2026, 1, 1)), "groups[0].execute_at"),  # noqa: DTZ001  just that
        (of_payments(PAYMENT, debtor=replace(PAYER, bic=None)), "groups[0].debtor.bic"),
        (of_payments(PAYMENT, debtor=replace(PAYER, iban="NL92ABNA0417164300")), "groups[0].debtor.iban"),
        (of_payments(PAYMENT, PAYMENT), "groups[0].payments[1].instruction_id"),
        (of_payments(replace(PAYMENT, instruction_id="I<1")), f"{FIRST}instruction_id"),
        (of_payments(replace(PAYMENT, end_to_end_id="E-1\n")), f"{FIRST}end_to_end_id"),
        (of_payments(replace(PAYMENT, uetr=None)), f"{FIRST}uetr"),
        (of_payments(replace(PAYMENT, uetr="6e1f1a10-8a52-1f0c-9d39-3a2d4b7a9f01")), f"{FIRST}uetr"),
        (of_payments(replace(PAYMENT, uetr=str(PAYMENT.uetr).upper())), f"{FIRST}uetr"),
        (of_payments(replace(PAYMENT, amount_minor=0)), f"{FIRST}amount_minor"),
        (of_payments(replace(PAYMENT, amount_minor=-1)), f"{FIRST}amount_minor"),
        (of_payments(replace(PAYMENT, amount_minor=1_000_000_000_00)), f"{FIRST}amount_minor"),
        (of_payments(replace(PAYMENT, currency="USD")), f"{FIRST}currency"),
        (of_payments(replace(PAYMENT, remittance="x" * 141)), f"{FIRST}remittance"),
        (of_payments(replace(PAYMENT, remittance="a & b")), f"{FIRST}remittance"),
        (of_payments(replace(PAYMENT, remittance="<b>")), f"{FIRST}remittance"),
        (of_payments(replace(PAYMENT, remittance="")), f"{FIRST}remittance"),
        (of_payments(replace(PAYMENT, remittance=CreditorReference("RF17539007547034"))), f"{FIRST}remittance"),
        (of_payments(replace(PAYMENT, remittance=CreditorReference("RF18 5390 0754 7034"))), f"{FIRST}remittance"),
        (to(replace(PAYEE, name="José")), f"{FIRST}creditor.name"),
        (to(replace(PAYEE, name="x" * 71)), f"{FIRST}creditor.name"),
        (to(replace(PAYEE, iban="DE89 3704 0044 0532 0130 00")), f"{FIRST}creditor.iban"),
        (to(replace(PAYEE, iban="de89370400440532013000")), f"{FIRST}creditor.iban"),
        (to(replace(PAYEE, bic="COBADEF")), f"{FIRST}creditor.bic"),
        (at(replace(BERLIN, town="")), f"{FIRST}creditor.address.town"),
        (at(replace(BERLIN, town="x" * 36)), f"{FIRST}creditor.address.town"),
        (at(replace(BERLIN, country="")), f"{FIRST}creditor.address.country"),
        (at(replace(BERLIN, country="DEU")), f"{FIRST}creditor.address.country"),
        (at(replace(BERLIN, street="Straße")), f"{FIRST}creditor.address.street"),
        (at(replace(BERLIN, street="x" * 71)), f"{FIRST}creditor.address.street"),
        (at(replace(BERLIN, building="x" * 17)), f"{FIRST}creditor.address.building"),
        (at(replace(BERLIN, postcode="x" * 17)), f"{FIRST}creditor.address.postcode"),
        (at(replace(BERLIN, region="x" * 36)), f"{FIRST}creditor.address.region"),
        (at(replace(BERLIN, lines=("a", "b", "c"))), f"{FIRST}creditor.address.lines"),
        (at(replace(BERLIN, lines=("x" * 71,))), f"{FIRST}creditor.address.lines"),
    ],
)  # fmt: skip
def test_what_no_bank_carries_is_refused_by_its_place(file: CreditTransferFile, field: str) -> None:
    refused = refusal(file)

    assert refused.field == field


@pytest.mark.parametrize(
    ("file", "dialect", "field"),
    [
        (at(BERLIN), SPARING, f"{FIRST}creditor.address.lines"),
        (of_payments(PAYMENT, batch_booking=True), SPARING, "groups[0].batch_booking"),
        (of_payments(PAYMENT, execute_at=datetime(2026, 11, 24, tzinfo=UTC)), SEPA_OF_2009, "groups[0].execute_at"),
        (TRANSFERS, replace(SEPA, message_id_pattern=r"[0-9]{1,16}"), "message_id"),
        (
            of_payments(PAYMENT, replace(PAYMENT, instruction_id="I-2")),
            replace(SEPA, payments_max=1),
            "groups[0].payments",
        ),
    ],
)  # fmt: skip
def test_what_one_bank_does_not_take_is_refused_for_that_bank(
    file: CreditTransferFile, dialect: Dialect, field: str
) -> None:
    assert refusal(file, dialect).field == field
    assert written(file, replace(SEPA, uetr=dialect.uetr))


def test_a_refusal_repeats_nothing_of_what_it_refuses() -> None:
    refused = refusal(to(replace(PAYEE, name="José Álvarez", iban="ES00")))

    assert "lvarez" not in str(refused)
    assert "ES00" not in str(refused)


class Counted(Sequence[Payment]):
    """Payments made as they are asked for; `gone_through` counts how often."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths
        self.gone_through = 0

    def __len__(self) -> int:
        return self.lengths[0]

    @overload
    def __getitem__(self, index: int) -> Payment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Payment]: ...
    def __getitem__(self, index: int | slice) -> Payment | Sequence[Payment]:
        raise NotImplementedError(index)

    def __iter__(self) -> Iterator[Payment]:
        length = self.lengths[self.gone_through % len(self.lengths)]
        self.gone_through += 1
        for number in range(length):
            yield replace(
                PAYMENT,
                instruction_id=f"I-{number}",
                amount_minor=1 + number,
                uetr=f"6e1f1a10-8a52-4f0c-9d39-{number:012x}",
            )


class Pieces(BytesIO):
    """A stream that remembers how much it was ever given at once."""

    longest = 0

    def write(self, piece: Any, /) -> int:
        self.longest = max(self.longest, len(piece))
        return super().write(piece)


def test_ten_thousand_payments_are_written_in_small_pieces_and_add_up() -> None:
    payments, out = Counted(MANY), Pieces()
    file = CreditTransferFile(HEADER, (replace(GROUP, payments=payments),))

    write_credit_transfers(file, out, dialect=SEPA)

    root = judged(out.getvalue(), "pain.001.001.09")
    assert text(root, "*/GrpHdr/NbOfTxs") == f"{MANY}"
    assert minor(root, "*/GrpHdr/CtrlSum") == MANY * (MANY + 1) // 2
    assert len(every(root, "*/PmtInf/CdtTrfTxInf")) == MANY
    assert payments.gone_through == 2
    assert out.longest < len(out.getvalue()) / 20


def test_payments_that_change_between_the_passes_are_a_bug_of_the_caller() -> None:
    file = CreditTransferFile(HEADER, (replace(GROUP, payments=Counted(2, 1)),))

    with pytest.raises(AssertionError, match="the same"):
        write_credit_transfers(file, BytesIO(), dialect=SEPA)


def test_a_file_is_made_of_its_parts_by_name() -> None:
    """A group for instant payments and one for others may stand in one file."""
    other = PaymentGroup(
        group_id="G-2",
        rail=Rail.SCT_INST,
        debtor=PAYER,
        execute_at=date(2026, 11, 25),
        payments=(replace(PAYMENT, instruction_id="I-2"),),
        batch_booking=True,
    )
    header = Header(message_id="MSG-2", created_at=HEADER.created_at, initiating_party="Tally Pay BV")

    root = judged(written(CreditTransferFile(header, (GROUP, other))), "pain.001.001.09")

    assert [node.text for node in every(root, "*/PmtInf/BtchBookg")] == ["false", "true"]
    assert text(root, "*/GrpHdr/CtrlSum") == "24.68"
