"""Files of direct debits: true to the schema and to what was asked, in every dialect."""

from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.messages.dialects import SEPA, Dialect, Edition
from partners.messages.pain008 import (
    Amendment,
    Collection,
    DirectDebitFile,
    Mandate,
    MandateUse,
    write_direct_debits,
)
from tests.partners.messages.arbitrary import DIALECTS, debit_files
from tests.partners.messages.judge import judged
from tests.partners.messages.plain import COLLECTION, COLLECTION_GROUP, DEBITS, HEADER, PAYEE, PAYER
from tests.partners.messages.read_back import every, minor, read_debits, text

NAMES = {Edition.OF_2009: "pain.008.001.02", Edition.OF_2019: "pain.008.001.08"}


def written(file: DirectDebitFile, dialect: Dialect = SEPA) -> bytes:
    out = BytesIO()
    write_direct_debits(file, out, dialect=dialect)
    return out.getvalue()


def of_collections(*collections: Collection, **changed: Any) -> DirectDebitFile:
    return DirectDebitFile(HEADER, (replace(COLLECTION_GROUP, collections=collections, **changed),))


def under(**changed: Any) -> DirectDebitFile:
    return of_collections(replace(COLLECTION, mandate=replace(COLLECTION.mandate, **changed)))


@given(st.data(), st.sampled_from(DIALECTS))
def test_any_file_is_valid_adds_up_and_reads_back_as_it_was_asked(
    data: st.DataObject, dialect: Dialect
) -> None:
    file = data.draw(debit_files(dialect))

    root = judged(written(file, dialect), NAMES[dialect.edition])

    assert read_debits(root) == file
    assert int(text(root, "*/GrpHdr/NbOfTxs")) == len(every(root, "*/PmtInf/DrctDbtTxInf"))
    assert minor(root, "*/GrpHdr/CtrlSum") == sum(
        minor(order, "InstdAmt") for order in every(root, "*/PmtInf/DrctDbtTxInf")
    )
    assert [minor(node, "CtrlSum") for node in every(root, "*/PmtInf")] == [
        sum(collection.amount_minor for collection in group.collections) for group in file.groups
    ]


def test_a_file_written_again_is_the_same_bytes_and_holds_no_group_twice() -> None:
    first = written(DEBITS)

    again = written(DEBITS)

    assert again == first
    assert again.count(b"<PmtInf>") == again.count(b"<DrctDbtTxInf>") == 1


def test_scheme_and_use_of_the_mandate_stand_in_the_group() -> None:
    document = written(of_collections(COLLECTION, use=MandateUse.FIRST))

    assert b"<LclInstrm><Cd>CORE</Cd></LclInstrm><SeqTp>FRST</SeqTp>" in document


def test_a_debtor_who_changed_accounts_is_said_by_the_word_of_the_scheme() -> None:
    document = written(under(amendment=Amendment(another_account=True)))

    judged(document, "pain.008.001.08")
    assert (
        b"<AmdmntInd>true</AmdmntInd><AmdmntInfDtls><OrgnlDbtrAcct><Id><Othr><Id>SMNDA</Id></Othr></Id>"
        b"</OrgnlDbtrAcct></AmdmntInfDtls>"
    ) in document


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIRST = "groups[0].collections[0]."


@pytest.mark.parametrize(
    ("file", "field"),
    [
        (replace(DEBITS, groups=()), "groups"),
        (of_collections(), "groups[0].collections"),
        (of_collections(COLLECTION, creditor_id="NL80ZZZ999999990000"), "groups[0].creditor_id"),
        (of_collections(COLLECTION, creditor_id="NL79 ZZZ 999999990000"), "groups[0].creditor_id"),
        (of_collections(COLLECTION, creditor_id="not one"), "groups[0].creditor_id"),
        (of_collections(COLLECTION, creditor=replace(PAYER, bic=None)), "groups[0].creditor.bic"),
        (of_collections(COLLECTION, COLLECTION), "groups[0].collections[1].instruction_id"),
        (of_collections(replace(COLLECTION, amount_minor=0)), f"{FIRST}amount_minor"),
        (of_collections(replace(COLLECTION, currency="SEK")), f"{FIRST}currency"),
        (of_collections(replace(COLLECTION, remittance="a_b_c")), f"{FIRST}remittance"),
        (of_collections(replace(COLLECTION, debtor=replace(PAYEE, iban="DE00"))), f"{FIRST}debtor.iban"),
        (of_collections(replace(COLLECTION, debtor=replace(PAYEE, name="a&b"))), f"{FIRST}debtor.name"),
        (of_collections(COLLECTION, collect_on=NOON), "groups[0].collect_on"),
        (under(signed_on=NOON), f"{FIRST}mandate.signed_on"),
        (under(mandate_id="M 1"), f"{FIRST}mandate.mandate_id"),
        (under(mandate_id="x" * 36), f"{FIRST}mandate.mandate_id"),
        (under(signed_on=date(2026, 11, 25)), f"{FIRST}mandate.signed_on"),
        (under(amendment=Amendment()), f"{FIRST}mandate.amendment"),
        (
            under(amendment=Amendment(original_mandate_id="M 0")),
            f"{FIRST}mandate.amendment.original_mandate_id",
        ),
        (
            under(amendment=Amendment(original_creditor_name="Größe")),
            f"{FIRST}mandate.amendment.original_creditor_name",
        ),
        (
            under(amendment=Amendment(original_creditor_id="NL80ZZZ999999990000")),
            f"{FIRST}mandate.amendment.original_creditor_id",
        ),
    ],
)
def test_what_no_bank_carries_is_refused_by_its_place(file: DirectDebitFile, field: str) -> None:
    out = BytesIO()

    with pytest.raises(InvalidValue) as refused:
        write_direct_debits(file, out, dialect=SEPA)

    assert refused.value.field == field
    assert not out.getvalue()


def test_ten_thousand_collections_are_valid_and_add_up() -> None:
    many = [
        replace(COLLECTION, instruction_id=f"I-{number}", amount_minor=number) for number in range(1, 10_001)
    ]

    root = judged(written(of_collections(*many)), "pain.008.001.08")

    assert text(root, "*/GrpHdr/NbOfTxs") == "10000"
    assert minor(root, "*/GrpHdr/CtrlSum") == sum(range(10_001))


def test_a_mandate_signed_on_the_day_of_collection_is_taken() -> None:
    mandate = Mandate(mandate_id="M-1", signed_on=COLLECTION_GROUP.collect_on)

    assert written(of_collections(replace(COLLECTION, mandate=mandate)))
