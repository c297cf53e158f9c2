"""What is true of Toybank: one instant rail in euros, open day and night."""

from datetime import timedelta
from typing import Final

from partners.contract import (
    CONTRACT,
    Finality,
    Manifest,
    NoticeAnswer,
    Notices,
    OnDuplicate,
    Rail,
    RailFacts,
    Rate,
    RequestIds,
)

_INSTANT: Final = RailFacts(
    rail=Rail.SCT_INST,
    currencies=frozenset({"EUR"}),
    countries=frozenset({"DE", "ES", "FR", "NL"}),
    amount_min_minor=1,
    amount_max_minor=100_000_00,
    hours=None,
    finality=Finality.INSTANT,
    settles_within=timedelta(seconds=10),
    return_window=timedelta(days=10),
    poll_schedule=(timedelta(seconds=5), timedelta(minutes=1), timedelta(hours=1)),
    name_max=70,
    remittance_max=140,
    batch_max=1,
)

MANIFEST: Final = Manifest(
    adapter="toybank",
    version="1.0.0",
    contract=CONTRACT,
    operations=frozenset(),
    rails=(_INSTANT,),
    request_ids=RequestIds(length_max=36, window=timedelta(days=7), on_duplicate=OnDuplicate.CONFLICT),
    stable_references=frozenset({"number"}),
    notices=Notices(answer=NoticeAnswer.PLAIN, deadline=timedelta(seconds=10), ordered=False),
    statement_span_max=timedelta(days=2),
    signature_scheme="http_message",
    character_set="sepa",
    rate=Rate(per_second=10, at_once=2),
    sandbox_magic=(),
)
