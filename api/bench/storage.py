"""What a transfer takes on disk: the growth of the tables that hold it, with all their indexes, by a load through the
book; and, apart from that, what its evidence takes once it is sealed.
"""

import sqlalchemy as sa

from api.bench.audit import SINGLE_LEG_POST
from api.bench.bench import Bench, Stage
from api.bench.row import Row
from ledger.evidence.log import append_leaves

BAR_BYTES = 450
FACTS = ("transfers", "further_legs")
EVIDENCE = ("log_leaves",)
_SIZE = sa.text(
    "SELECT CAST(sum(pg_total_relation_size(CAST(name AS regclass))) AS bigint) "
    "FROM unnest(CAST(:names AS text[])) AS name"
)


def storage(bench: Bench) -> list[Row]:
    """Bytes a single-leg transfer, and a sealed one. Against one transfer, so that the ratio is the figure itself."""
    with bench.stage() as stage:
        sealed = _sealed_bytes(stage)
        before = _size(stage.engine, FACTS)
        run = stage.carry(stage.workload.bulk(bench.scale.stored), SINGLE_LEG_POST)
        taken = _size(stage.engine, FACTS) - before
        stage.check()
    bench.say(f"storage: {run.units:,} transfers took {taken:,} bytes")
    return [
        Row(
            name="storage of a single-leg transfer, indexes included",
            value=taken / run.units,
            unit="bytes/transfer",
            reference=1,
            bar=BAR_BYTES,
            at_most=True,
        ),
        Row(name="storage of a transfer's sealed evidence", value=sealed, unit="bytes/transfer", reference=1),
    ]


def _sealed_bytes(stage: Stage) -> float:
    """Seals all that there is so far. Units: bytes a leaf."""
    before = _size(stage.engine, EVIDENCE)
    with stage.tx() as tx:
        head = append_leaves(tx, stage.market.programme_id)
    assert head.size == stage.expected.transfers, "every transfer has its leaf"
    return (_size(stage.engine, EVIDENCE) - before) / head.size


def _size(engine: sa.Engine, tables: tuple[str, ...]) -> int:
    with engine.connect() as connection:
        size = connection.execute(_SIZE, {"names": list(tables)}).scalar_one()
    return int(size)
