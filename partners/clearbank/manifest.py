"""What is true of ClearBank's euro API: its rails, limits, hours and promises.

Facts only, no behaviour. Source: ClearBank EU developer documentation (SEPA CT 1.0, SEPA Instant 1.0,
multi-currency accounts, camt.053 statements); the EPC rulebooks for what comes back and when.
"""

from datetime import time, timedelta
from typing import Final

from partners.contract import (
    CONTRACT,
    AfterHours,
    Finality,
    Hours,
    Magic,
    Manifest,
    NoticeAnswer,
    Notices,
    OnDuplicate,
    Operation,
    Rail,
    RailFacts,
    Rate,
    RequestIds,
)
from partners.sepa_countries import SEPA_COUNTRIES

ZONE: Final = "Europe/Amsterdam"
CURRENCY: Final = "EUR"
NAME_MAX: Final = 70
REMITTANCE_MAX: Final = 140
END_TO_END_ID_MAX: Final = 35
OWNER_MAX: Final = 140
STATEMENT_SPAN_MAX: Final = timedelta(hours=25)

_LATER = (
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=24),
)

_SCT = RailFacts(
    rail=Rail.SCT,
    currencies=frozenset({CURRENCY}),
    countries=SEPA_COUNTRIES,
    amount_min_minor=1,
    amount_max_minor=999_999_999_99,
    hours=Hours(
        zone=ZONE,
        opens=time(7),
        closes=time(16),
        business_days_only=True,
        after_hours=AfterHours.REFUSED,
    ),
    finality=Finality.PROVISIONAL,
    settles_within=timedelta(days=1),
    # Three business days; around Easter they are never more than seven days of the calendar.
    return_window=timedelta(days=7),
    poll_schedule=(timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=60), *_LATER),
    name_max=NAME_MAX,
    remittance_max=REMITTANCE_MAX,
    batch_max=1,
)

_SCT_INST = RailFacts(
    rail=Rail.SCT_INST,
    currencies=frozenset({CURRENCY}),
    countries=SEPA_COUNTRIES,
    amount_min_minor=1,
    amount_max_minor=None,  # the scheme's own ceiling fell in October 2025
    hours=None,
    finality=Finality.INSTANT,
    settles_within=timedelta(seconds=10),
    return_window=timedelta(0),  # an instant payment comes back only after a recall
    poll_schedule=(
        timedelta(seconds=2),
        timedelta(seconds=5),
        timedelta(seconds=15),
        timedelta(seconds=60),
        *_LATER,
    ),
    name_max=NAME_MAX,
    remittance_max=REMITTANCE_MAX,
    batch_max=1,
)

MANIFEST: Final = Manifest(
    adapter="clearbank",
    version="1",
    contract=CONTRACT,
    operations=frozenset({Operation.VIRTUAL_IBAN, Operation.VERIFY_PAYEE}),
    rails=(_SCT, _SCT_INST),
    request_ids=RequestIds(length_max=83, window=timedelta(hours=24), on_duplicate=OnDuplicate.CONFLICT),
    stable_references=frozenset({"payment_id"}),
    notices=Notices(answer=NoticeAnswer.SIGNED, deadline=timedelta(seconds=5), ordered=False),
    statement_span_max=STATEMENT_SPAN_MAX,
    signature_scheme="body_rsa_sha256",
    character_set="sepa",
    rate=Rate(
        per_second=500, at_once=50
    ),  # the bank names no figure: its limits move, and it answers 429 above them
    sandbox_magic=(
        Magic(Rail.SCT, "--SCTRETURN--", "settles, and then comes back"),
        Magic(Rail.SCT_INST, "--DelayPayment--", "is delayed for ten seconds, and settles under a new id"),
        Magic(Rail.SCT_INST, "--CancelDelayedPayment--", "is delayed for ten seconds, and fails"),
    ),
)
