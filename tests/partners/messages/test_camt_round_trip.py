"""Whatever a bank may write is read back as it was written: in every version, of every kind, entry by entry."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.contract import Unreadable
from partners.messages.account_reports import (
    Balance,
    StatementEnded,
    StatementId,
    StatementStarted,
    adds_up,
)
from partners.messages.camt import read_camt, read_camt_tolerantly
from partners.messages.details import Account, Charge, Detail, GivenReason, Party
from partners.messages.entries import Batch, Entry, EntryStatus, RejectedEntry
from partners.messages.wire_values import Amount, BankTime
from tests.partners.messages.camt_files import BODIES, Written, wrap, write_camt, write_entry

CHARACTERS = st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc", "Cn"))
TEXTS = st.text(CHARACTERS, max_size=40).map(str.strip).filter(bool)
WORDS = st.from_regex(re.compile(r"\A[A-Za-z0-9/?:().,'+-]{1,35}\Z", re.ASCII)).filter(
    lambda word: word != "NOTPROVIDED"
)
MAYBE = st.none() | WORDS
CURRENCIES = st.sampled_from(["EUR", "USD", "JPY", "KWD"])
MINOR = st.integers(-(10**14), 10**14)
AMOUNTS = st.builds(Amount, MINOR, CURRENCIES)
POSITIVE = st.builds(Amount, st.integers(0, 10**14), CURRENCIES)
DATES = st.dates(date(1990, 1, 1), date(2090, 1, 1))
MOMENTS = st.integers(10**9, 3 * 10**9).map(lambda second: datetime.fromtimestamp(second, UTC))
ACCOUNTS = st.builds(Account, WORDS, st.none()) | st.builds(Account, st.none(), WORDS)
PARTIES = st.builds(Party, TEXTS, st.none() | ACCOUNTS, MAYBE) | st.none()
PARTIES_WITHOUT_BANK = st.builds(Party, TEXTS, st.none() | ACCOUNTS, st.none()) | st.none()
CHARGES = st.lists(st.builds(Charge, AMOUNTS, st.none() | st.booleans(), MAYBE), max_size=2).map(tuple)
CODES = st.sampled_from(["", "PMNT/RCDT/ESCT", "PMNT/IDDT/UPDD"])
REASONS = st.builds(GivenReason, WORDS, st.none(), st.lists(TEXTS, max_size=2).map(tuple))
DETAILS = st.builds(
    Detail,
    message_id=MAYBE,
    payment_information_id=MAYBE,
    instruction_id=MAYBE,
    end_to_end_id=MAYBE,
    tx_id=MAYBE,
    uetr=st.none() | st.uuids(version=4).map(str),
    mandate_id=MAYBE,
    bank_reference=MAYBE,
    amount=st.none() | AMOUNTS,
    instructed=POSITIVE,
    exchange_rate=st.none() | st.just("1.0825"),
    charges=CHARGES,
    bank_code=CODES,
    own_code=MAYBE,
    debtor=PARTIES,
    ultimate_debtor=PARTIES_WITHOUT_BANK,
    creditor=PARTIES,
    ultimate_creditor=PARTIES_WITHOUT_BANK,
    purpose=MAYBE,
    remittance=st.lists(TEXTS, max_size=3).map(tuple),
    references=st.lists(TEXTS, max_size=2).map(tuple),
    documents=st.lists(TEXTS, max_size=2).map(tuple),
    returned=st.none() | REASONS,
    additional=st.none() | TEXTS,
)


@st.composite
def entries(draw: st.DrawFn, number: int) -> Entry:
    """An entry as a bank might book it."""
    booked_at = draw(st.none() | MOMENTS)
    return Entry(
        number=number,
        status=draw(st.sampled_from(EntryStatus)),
        amount_minor=draw(MINOR),
        currency=draw(CURRENCIES),
        reversal=draw(st.booleans()),
        booked_on=draw(st.none() | DATES) if booked_at is None else booked_at.date(),
        booked_at=booked_at,
        value_on=draw(st.none() | DATES),
        bank_reference=draw(MAYBE),
        entry_reference=draw(MAYBE),
        bank_code=draw(CODES),
        own_code=draw(MAYBE),
        charges=draw(CHARGES),
        batch=draw(st.none() | st.builds(Batch, MAYBE, MAYBE, st.just("3"))),
        details=tuple(draw(st.lists(DETAILS, max_size=3))),
        additional=draw(st.none() | TEXTS),
    )


@st.composite
def statements(draw: st.DrawFn) -> Written:
    """A statement with anything in it."""
    count = draw(st.integers(0, 4))
    windowed = draw(st.booleans())
    return Written(
        id=StatementId(
            statement_id=draw(WORDS),
            electronic_number=draw(MAYBE),
            legal_number=draw(MAYBE),
            account=draw(ACCOUNTS),
            currency=draw(st.none() | CURRENCIES),
            starts_at=draw(MOMENTS) if windowed else None,
            ends_at=draw(MOMENTS) if windowed else None,
        ),
        balances=draw(
            st.lists(
                st.builds(
                    Balance, st.sampled_from(["OPBD", "CLBD", "ITBD", "CLAV"]), MINOR, CURRENCIES, DATES
                ),
                max_size=4,
            )
        ),
        entries=[draw(entries(number)) for number in range(1, count + 1)],
    )


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(statements(), min_size=1, max_size=3),
    name=st.sampled_from(sorted(BODIES)),
    version=st.integers(2, 13),
)
def test_what_is_written_is_read_back(written: list[Written], name: str, version: int) -> None:
    read = list(read_camt(write_camt(written, name=name, version=version), time=BankTime(days=UTC)))

    assert [event.id for event in read if isinstance(event, StatementStarted)] == [
        each.id for each in written
    ]
    assert [event for event in read if isinstance(event, Entry)] == [
        entry for each in written for entry in each.entries
    ]
    ended = [event for event in read if isinstance(event, StatementEnded)]
    assert [event.balances for event in ended] == [tuple(each.balances) for each in written]
    assert [event.kept for event in ended] == [len(each.entries) for each in written]
    for event, each in zip(ended, written, strict=True):
        booked: dict[str, int] = {}
        for entry in each.entries:
            if entry.status is EntryStatus.BOOKED:
                booked[entry.currency] = booked.get(entry.currency, 0) + entry.amount_minor
        assert event.adds_up == adds_up(each.balances, booked, rejected=0)


SPOILS = [
    (r"<CdtDbtInd>(CRDT|DBIT)", "<CdtDbtInd>BOTH"),
    (r'<Amt Ccy="[A-Z]{3}">[0-9.]+', '<Amt Ccy="EUR">1,50'),
    (r'<Amt Ccy="[A-Z]{3}">[0-9.]+', '<Amt Ccy="EUR">1.00001'),
    (r'<Amt Ccy="[A-Z]{3}">', '<Amt Ccy="XXZ">'),
    (r"<Sts>.*?</Sts>", ""),
    (r"</Sts>", "</Sts><RvslInd>maybe</RvslInd>"),
    (r"</Sts>", "</Sts><ValDt><Dt>2026-02-30</Dt></ValDt>"),
]


@settings(max_examples=50, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_rows_in_are_rows_kept_and_rows_rejected(data: st.DataObject, count: int) -> None:
    made = [data.draw(entries(number)) for number in range(1, count + 1)]
    spoilt = data.draw(st.sets(st.integers(1, count), max_size=count))
    texts = []
    for entry in made:
        text = write_entry(_plain(entry))
        if entry.number in spoilt:
            pattern, instead = data.draw(st.sampled_from(SPOILS))
            text, hits = re.subn(pattern, instead, text, count=1)
            assert hits == 1
        texts.append(text)
    document = wrap(f"<Stmt><Id>S</Id><Acct><Id><IBAN>I</IBAN></Id></Acct>{''.join(texts)}</Stmt>")

    read = list(read_camt_tolerantly(document))

    kept = [event for event in read if isinstance(event, Entry)]
    rejected = [event for event in read if isinstance(event, RejectedEntry)]
    assert {event.number for event in rejected} == spoilt
    assert [event.number for event in kept] == sorted(set(range(1, count + 1)) - spoilt)
    (ended,) = [event for event in read if isinstance(event, StatementEnded)]
    assert (ended.kept, ended.rejected) == (len(kept), len(rejected))
    if spoilt:
        with pytest.raises(Unreadable, match=f"^Entry {min(spoilt)} of statement 1, line "):
            list(read_camt(document))


def _plain(entry: Entry) -> Entry:
    """The same without what a spoilt value date or flag would stand behind."""
    return replace(entry, value_on=None, reversal=False)
