"""Records that are chained as they should be, and tell what no enclave writes: they break the log where they stand.

Whoever can write the log can chain anything; the start and the audit both say where it stands, and quote none of it.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enclave import canonical
from enclave.__main__ import EXIT_BROKEN, main
from enclave.canonical import JsonValue
from enclave.log import HASH_BEFORE_THE_FIRST, LogBroken
from enclave.logbook import Logbook

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
AT = "2026-11-22T09:00:00.000000+00:00"
PAYOUT: Mapping[str, JsonValue] = {
    "payout_id": "pay_1",
    "programme_id": "prg_1",
    "debtor": "0f" * 32,
    "digest": "0f" * 32,
    "scheme": "body_rsa_sha256",
    "amount_minor": 100,
    "currency": "EUR",
}
CHECKPOINT: Mapping[str, JsonValue] = {"origin": "o", "size": 5, "root": "ab" * 32}
LOADED: Mapping[str, JsonValue] = {"number": 1, "sha256": "0f" * 32}
COUNTED: Mapping[str, JsonValue] = {"peer_uid": 1, "state": "ends", "internal": 7}


def record(
    kind: str, purpose: str, facts: Mapping[str, JsonValue], **others: JsonValue
) -> dict[str, JsonValue]:
    return {"at": AT, "kind": kind, "purpose": purpose, "facts": dict(facts), **others}


def granted(facts: Mapping[str, JsonValue], purpose: str = "payout") -> dict[str, JsonValue]:
    return record("granted", purpose, facts)


def without(facts: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    return {key: value for key, value in facts.items() if key != name}


def write(path: Path, *records: Mapping[str, JsonValue]) -> list[int]:
    """A log of these records, each in its place in the chain; where each begins."""
    lines, prev = list[bytes](), HASH_BEFORE_THE_FIRST
    for number, members in enumerate(records, start=1):
        chained = {"seq": number, **members, "prev": prev}
        prev = hashlib.sha256(canonical.encode(chained)).hexdigest()
        lines.append(canonical.encode({**chained, "hash": prev}) + b"\n")
    path.write_bytes(b"".join(lines))
    return [sum(map(len, lines[:number])) for number in range(len(lines))]


STARTED = record("started", "enclave", {})
GOOD = [
    STARTED,
    granted(PAYOUT),
    granted(CHECKPOINT, "checkpoint"),
    granted({"programme_id": "prg_1", "sealed_under": "card_vault/v1"}, "card_seal"),
    record("keys_loaded", "keys", LOADED),
    record("mirrored", "mirror", {"count": 3, "hash": "0f" * 32}),
    record("refused_more", "refusals", COUNTED),
]
ODD = [
    *(record("started", "enclave", {}, at=at) for at in ("", "noon", "2026-11-22T09:00:00", "2026-11-22")),
    record("started", "enclave", {}, seq=True),
    *(granted(without(PAYOUT, name)) for name in ("payout_id", "currency", "digest", "amount_minor")),
    granted(without(without(PAYOUT, "debtor"), "programme_id")),
    *(granted({**PAYOUT, "amount_minor": amount}) for amount in ("many", "100", None, True, -100)),
    *(granted({**PAYOUT, name: 7}) for name in ("target", "scheme", "debtor")),
    *(granted(without(CHECKPOINT, name), "checkpoint") for name in CHECKPOINT),
    *(granted({**CHECKPOINT, "root": root}, "checkpoint") for root in ("", "ab", "xy" * 32, 7)),
    granted({**CHECKPOINT, "size": "5"}, "checkpoint"),
    granted({}, "card_seal"),
    granted({"programme_id": "prg_1", "sealed_under": 1}, "card_seal"),
    *(record("keys_loaded", "keys", without(LOADED, name)) for name in LOADED),
    *(record(kind, "mirror", facts) for kind in ("mirrored", "accepted") for facts in ({}, {"count": "3"})),
    record("refused_more", "refusals", without(COUNTED, "peer_uid")),
    record("refused_more", "refusals", without(COUNTED, "state")),
    *(record("refused_more", "refusals", {**COUNTED, **odd}) for odd in ({"state": "goes on"}, {"internal": "7"})),
]  # fmt: skip


def test_the_records_that_an_enclave_writes_are_taken_in(tmp_path: Path) -> None:
    log = tmp_path / "signing.log"
    write(log, *GOOD)

    assert main(["audit", "--log", str(log)]) == 0
    with Logbook.open(log, now=NOW) as logbook:
        assert logbook.log.head.count == len(GOOD)


@pytest.mark.parametrize("odd", ODD)
def test_a_record_of_odd_contents_breaks_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: Mapping[str, JsonValue]
) -> None:
    log = tmp_path / "signing.log"
    # As the first of all, where 1 is also true.
    begins = write(log, odd) if "seq" in odd else write(log, STARTED, odd)

    with pytest.raises(LogBroken) as broken:
        Logbook.open(log, now=NOW)
    assert (broken.value.line, broken.value.place.offset) == (len(begins), begins[-1])
    assert main(["audit", "--log", str(log)]) == EXIT_BROKEN
    said = f"the log is broken at line {len(begins)} (from byte {begins[-1]} on): "
    assert capsys.readouterr().err == f"enclave: {said}{broken.value.reason}\n"


def test_a_record_of_the_beginning_of_time_breaks_the_log(tmp_path: Path) -> None:
    log = tmp_path / "signing.log"
    write(log, record("granted", "payout", PAYOUT, at="0001-01-01T00:00:00.000000+00:00"))

    with pytest.raises(LogBroken, match="line 1"):
        Logbook.open(log, now=NOW)
