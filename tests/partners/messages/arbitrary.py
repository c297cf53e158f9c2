"""Arbitrary valid files of orders, for every dialect."""

from datetime import date, datetime, timedelta, timezone
from typing import Final

from hypothesis import strategies as st
from stdnum import iso11649
from stdnum.eu import at_02
from stdnum.iso7064 import mod_97_10

from partners.contract import Rail
from partners.messages.dialects import SEPA, SEPA_OF_2009, Dialect, InstantAs, OwnBankAs
from partners.messages.frame import Header
from partners.messages.holders import AccountHolder, Address
from partners.messages.pain001 import CreditTransferFile, Payment, PaymentGroup
from partners.messages.pain008 import (
    Amendment,
    Collection,
    CollectionGroup,
    DebitScheme,
    DirectDebitFile,
    Mandate,
    MandateUse,
)
from partners.messages.remittance import CreditorReference

CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ENDS: Final = "0123456789abcXYZ-?:().,'+"
SPARING: Final = Dialect(
    name="sparing",
    instant_as=InstantAs.PROPRIETARY,
    own_bank_as=OwnBankAs.NOT_PROVIDED,
    uetr=False,
    hybrid_addresses=False,
    batch_booking=False,
    execution_times=False,
)
DIALECTS: Final = (SEPA, SEPA_OF_2009, SPARING)


def carried(least: int, most: int) -> st.SearchStrategy[str]:
    """Text that every bank carries as it stands."""
    ends = st.sampled_from(ENDS)
    if least == 1:
        return ends | carried(2, most)
    inner = st.text(f"{ENDS}/ ", min_size=least - 2, max_size=most - 2)
    return st.builds("{}{}{}".format, ends, inner, ends).filter(lambda text: "//" not in text)


REFERENCES: Final = carried(1, 35)
NAMES: Final = carried(3, 70)
DAYS: Final = st.dates(date(2000, 1, 1), date(2099, 12, 31))
MOMENTS: Final = st.builds(
    lambda at, hours: at.replace(
        microsecond=at.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(hours=hours))
    ),
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001  the zone is put on above
    st.integers(-12, 14),
)
COUNTRIES: Final = st.text(CAPITALS, min_size=2, max_size=2)
BICS: Final = st.from_regex(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9](?:[A-Z0-9]{3})?", fullmatch=True)
UETRS: Final = st.uuids(version=4).map(str)
IBANS: Final = st.builds(
    lambda country, account: f"{country}{mod_97_10.calc_check_digits(f'{account}{country}')}{account}",
    COUNTRIES,
    st.text(f"{CAPITALS}0123456789", min_size=11, max_size=30),
)
CREDITOR_IDS: Final = st.builds(
    lambda country, business, rest: (
        f"{country}{at_02.calc_check_digits(f'{country}00{business}{rest}')}{business}{rest}"
    ),
    COUNTRIES,
    st.text(f"{CAPITALS}0123456789", min_size=3, max_size=3),
    st.text(f"{CAPITALS}0123456789", min_size=1, max_size=28),
)
CREDITOR_REFERENCES: Final = (
    st.text(f"{CAPITALS}0123456789", min_size=1, max_size=21)
    .map(lambda rest: f"RF{mod_97_10.calc_check_digits(f'{rest}RF')}{rest}")
    .filter(iso11649.is_valid)
    .map(CreditorReference)
)
REMITTANCES: Final = st.none() | carried(3, 140) | CREDITOR_REFERENCES
AMOUNTS: Final = st.integers(1, 999_999_999_99)


def addresses(dialect: Dialect) -> st.SearchStrategy[Address]:
    """Structured addresses, and hybrid ones where they are taken."""
    return st.builds(
        Address,
        town=carried(1, 35),
        country=COUNTRIES,
        street=st.none() | carried(1, 70),
        building=st.none() | carried(1, 16),
        postcode=st.none() | carried(1, 16),
        region=st.none() | carried(1, 35),
        lines=st.lists(carried(1, 70), max_size=2 * dialect.hybrid_addresses).map(tuple),
    )


def holders(dialect: Dialect, bics: st.SearchStrategy[str | None]) -> st.SearchStrategy[AccountHolder]:
    return st.builds(AccountHolder, name=NAMES, iban=IBANS, bic=bics, address=st.none() | addresses(dialect))


def own(dialect: Dialect) -> st.SearchStrategy[AccountHolder]:
    """Our own account, with nothing that the bank would not be told."""
    return holders(dialect, BICS if dialect.own_bank_as is OwnBankAs.BIC else st.none())


HEADERS: Final = st.builds(
    Header,
    message_id=REFERENCES,
    created_at=MOMENTS,
    initiating_party=NAMES,
    initiating_party_id=st.none() | REFERENCES,
)

SIZES: Final = st.lists(st.integers(1, 3), min_size=1, max_size=3)


@st.composite
def transfer_files(draw: st.DrawFn, dialect: Dialect) -> CreditTransferFile:
    """Any file of credit transfers that a bank of this dialect takes."""
    groups = [
        st.builds(
            PaymentGroup,
            group_id=st.just(f"{index}"),
            rail=st.sampled_from(Rail),
            debtor=own(dialect),
            execute_at=DAYS | MOMENTS if dialect.execution_times else DAYS,
            batch_booking=st.booleans() if dialect.batch_booking else st.just(value=False),
            payments=st.tuples(*[_payment(dialect, f"{index}-{number}") for number in range(size)]),
        )
        for index, size in enumerate(draw(SIZES))
    ]
    return draw(st.builds(CreditTransferFile, HEADERS, st.tuples(*groups)))


def _payment(dialect: Dialect, instruction_id: str) -> st.SearchStrategy[Payment]:
    return st.builds(
        Payment,
        instruction_id=st.just(instruction_id),
        end_to_end_id=REFERENCES,
        amount_minor=AMOUNTS,
        currency=st.just("EUR"),
        creditor=holders(dialect, st.none() | BICS),
        remittance=REMITTANCES,
        uetr=UETRS if dialect.uetr else st.none(),
    )


@st.composite
def debit_files(draw: st.DrawFn, dialect: Dialect) -> DirectDebitFile:
    """Any file of direct debits that a bank of this dialect takes."""
    groups = [
        st.builds(
            CollectionGroup,
            group_id=st.just(f"{index}"),
            scheme=st.sampled_from(DebitScheme),
            use=st.sampled_from(MandateUse),
            creditor=own(dialect),
            creditor_id=CREDITOR_IDS,
            collect_on=DAYS,
            batch_booking=st.booleans() if dialect.batch_booking else st.just(value=False),
            collections=st.tuples(*[_collection(dialect, f"{index}-{number}") for number in range(size)]),
        )
        for index, size in enumerate(draw(SIZES))
    ]
    return draw(st.builds(DirectDebitFile, HEADERS, st.tuples(*groups)))


def _collection(dialect: Dialect, instruction_id: str) -> st.SearchStrategy[Collection]:
    return st.builds(
        Collection,
        instruction_id=st.just(instruction_id),
        end_to_end_id=REFERENCES,
        amount_minor=AMOUNTS,
        currency=st.just("EUR"),
        mandate=MANDATES,
        debtor=holders(dialect, st.none() | BICS),
        remittance=REMITTANCES,
    )


MANDATE_IDS: Final = REFERENCES.map(lambda text: text.replace(" ", "-"))
AMENDMENTS: Final = st.builds(
    Amendment,
    original_mandate_id=st.none() | MANDATE_IDS,
    original_creditor_name=st.none() | NAMES,
    original_creditor_id=st.none() | CREDITOR_IDS,
    another_account=st.booleans(),
).filter(lambda amendment: amendment != Amendment())
MANDATES: Final = st.builds(
    Mandate,
    mandate_id=MANDATE_IDS,
    signed_on=st.dates(date(1990, 1, 1), date(1999, 12, 31)),
    amendment=st.none() | AMENDMENTS,
)
