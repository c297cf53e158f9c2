"""How fast a payment file is written, against a bare loop over lxml's `xmlfile` that writes the same elements.

Both are given the same payments and write to memory; what they wrote is compared before anything is measured.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from io import BytesIO
from statistics import median
from time import perf_counter
from typing import BinaryIO, Final

from lxml import etree
from rich.console import Console

from api.bench.failure import BenchRefused
from api.bench.partners_scale import PartnerScale
from api.bench.partners_write_bare import write_bare
from api.bench.row import Row
from partners.contract import Rail
from partners.messages.dialects import SEPA
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder, Address
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup, write_credit_transfers

BAR: Final = 1.5
_PAYER: Final = AccountHolder(name="Tally Pay BV", iban="NL91ABNA0417164300", bic="ABNANL2A")


def write(scale: PartnerScale, console: Console) -> list[Row]:
    """Seconds for one file, medians of rounds that alternate. Raises: BenchRefused."""
    file = _file(scale.payments)
    console.print(f"  a file of {scale.payments:,} payments")
    check_same(_written(file, _write_ours), _written(file, write_bare))
    pairs = [(_seconds(file, write_bare), _seconds(file, _write_ours)) for _ in range(scale.rounds)]
    return [
        Row(
            name=f"write a pain.001 of {scale.payments:,} payments",
            value=median([ours for _, ours in pairs]),
            unit="s",
            reference=median([bare for bare, _ in pairs]),
            bar=BAR,
            at_most=True,
        )
    ]


_Write = Callable[[CreditTransferFile, BinaryIO], None]


def _write_ours(file: CreditTransferFile, out: BinaryIO) -> None:
    write_credit_transfers(file, out, dialect=SEPA)


def _seconds(file: CreditTransferFile, writer: _Write) -> float:
    started = perf_counter()
    _written(file, writer)
    return perf_counter() - started


def _written(file: CreditTransferFile, writer: _Write) -> bytes:
    out = BytesIO()
    writer(file, out)
    return out.getvalue()


def check_same(ours: bytes, bare: bytes) -> None:
    """Whether both wrote the same elements. Raises: BenchRefused."""
    if etree.canonicalize(ours.decode()) != etree.canonicalize(bare.decode()):
        raise BenchRefused("the bare loop does not write the same elements as we do")


def _file(count: int) -> CreditTransferFile:
    """The same payments every time, with all that a payment usually has."""
    header = Header(
        message_id="BENCH-1",
        created_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        initiating_party="Tally Pay BV",
    )
    group = PaymentGroup(
        group_id="BENCH-1-1",
        rail=Rail.SCT_INST,
        debtor=_PAYER,
        execute_at=date(2026, 11, 24),
        payments=[_payment(number) for number in range(count)],
    )
    return CreditTransferFile(header, (group,))


def _payment(number: int) -> Payment:
    return Payment(
        instruction_id=f"PAY-{number}",
        end_to_end_id=f"E2E-{number}",
        amount_minor=10_00 + number,
        currency="EUR",
        creditor=AccountHolder(
            name=f"Maria Garcia {number}",
            iban="DE89370400440532013000",
            bic="COBADEFFXXX",
            address=Address(
                town="Berlin", country="DE", street="Unter den Linden", building="5", postcode="10117"
            ),
        ),
        remittance=f"Invoice 2026-{number}",
        uetr=f"6e1f1a10-8a52-4f0c-9d39-{number:012x}",
    )
