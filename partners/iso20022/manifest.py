"""What is true of a bank that is reached by files: its rails, and how little it promises.

Banks differ in all that they agree with their customers; what stands here holds at every one of them, and is the least
that a host can rely on. Facts only. Source: EPC SEPA rulebooks; ISO 20022 message definitions.
"""

from datetime import timedelta
from typing import Final

from partners.contract import (
    CONTRACT,
    Finality,
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
from partners.messages.fields import AMOUNT_MAX_MINOR, CURRENCY, NAME_MAX, REMITTANCE_MAX
from partners.sepa_countries import SEPA_COUNTRIES

# Nobody can be asked: after each of these somebody looks whether the bank has left word.
_LOOKS: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))

_SCT = RailFacts(
    rail=Rail.SCT,
    currencies=frozenset({CURRENCY}),
    countries=SEPA_COUNTRIES,
    amount_min_minor=1,
    amount_max_minor=AMOUNT_MAX_MINOR,
    hours=None,  # a file may be left at any time; the bank takes it up when it next does
    finality=Finality.PROVISIONAL,
    settles_within=timedelta(days=2),
    # Three business days; around Easter they are never more than seven days of the calendar.
    return_window=timedelta(days=7),
    poll_schedule=_LOOKS,
    name_max=NAME_MAX,
    remittance_max=REMITTANCE_MAX,
    batch_max=1,
)

_SCT_INST = RailFacts(
    rail=Rail.SCT_INST,
    currencies=frozenset({CURRENCY}),
    countries=SEPA_COUNTRIES,
    amount_min_minor=1,
    amount_max_minor=AMOUNT_MAX_MINOR,  # of the message; the scheme's own ceiling fell in October 2025
    hours=None,
    finality=Finality.INSTANT,
    settles_within=timedelta(hours=1),  # ten seconds, once the bank has taken the file up
    return_window=timedelta(0),  # an instant payment comes back only after a recall
    poll_schedule=_LOOKS,
    name_max=NAME_MAX,
    remittance_max=REMITTANCE_MAX,
    batch_max=1,
)

MANIFEST: Final = Manifest(
    adapter="iso20022",
    version="1",
    contract=CONTRACT,
    operations=frozenset({Operation.FILES}),
    rails=(_SCT, _SCT_INST),
    # The 32 digits of an order's id are the message id, of which every bank takes 35 characters. Not every bank looks
    # whether it has had one before.
    request_ids=RequestIds(length_max=36, window=timedelta(days=1), on_duplicate=OnDuplicate.IGNORED),
    stable_references=frozenset({"file"}),
    notices=Notices(answer=NoticeAnswer.NONE, deadline=timedelta(days=1), ordered=False),
    statement_span_max=timedelta(days=1),
    signature_scheme="body_rsa_sha256",
    character_set="sepa",
    rate=Rate(per_second=20, at_once=4),
    sandbox_magic=(),
)
