"""Whose approvals count: the approver's own key, under exactly this order; and how the list of approvers is read."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from enclave import canonical
from enclave.approvals import (
    APPROVALS_MAX,
    Approver,
    approval_text,
    approvers_of,
)
from enclave.canonical import JsonValue
from enclave.keys import fingerprint
from tests.enclave.payouts import ROSTER, approver_of, good_record, order_text, record_of, signed_by
from tests.enclave.process import SoftHsmToken

RECORD = good_record()
ANNA = signed_by("anna", RECORD)


def approving(*approvals: JsonValue, roster: dict[str, Approver] | None = None) -> set[str]:
    """Who has approved the payout, when the database holds these approvals."""
    held = replace(RECORD, approvals=canonical.encode(list(approvals)).decode())
    return set(approvers_of(held, ROSTER if roster is None else roster).values())


def test_the_text_to_sign_says_payout_programme_and_order_in_one_spelling() -> None:
    text = approval_text(payout_id="pay_1", programme_id="prg_1", order_digest=b"\x00\xff")

    assert text == (
        b'tallystick-payout-approval-v1\n{"order_digest":"00ff","payout_id":"pay_1","programme_id":"prg_1"}'
    )


def test_each_approver_counts_once() -> None:
    assert approving(ANNA, signed_by("boris", RECORD), signed_by("anna", RECORD)) == {"anna", "boris"}


def test_one_key_under_two_ids_is_one_person() -> None:
    twice = {**ROSTER, "carla": replace(ROSTER["anna"], id="carla")}

    assert len(approving(ANNA, signed_by("anna", RECORD, said_to_be="carla"), roster=twice)) == 1


@pytest.mark.parametrize(
    "approval",
    [
        signed_by("mallory", RECORD),
        signed_by("mallory", RECORD, said_to_be="anna"),
        signed_by("boris", RECORD, said_to_be="anna"),
        signed_by("anna", record_of(order_text(amount_minor=1), amount_minor=1)),
        signed_by("anna", good_record(payout_id="pay_" + "00" * 16)),
        signed_by("anna", good_record(programme_id="prg_other")),
        {**ANNA, "signature": "00" * 70},
        {**ANNA, "signature": str(ANNA["signature"]) + "00"},
    ],
)
def test_what_is_not_the_approvers_own_signature_under_this_order_does_not_count(approval: JsonValue) -> None:
    assert approving(approval) == set()
    assert approving(approval, signed_by("carla", RECORD)) == {"carla"}


def test_an_approver_counts_in_his_programmes_only() -> None:
    theirs = {"anna": approver_of("anna", frozenset({"prg_other"}))}
    ours = {"anna": approver_of("anna", frozenset({"prg_other", RECORD.programme_id}))}

    assert approving(ANNA, roster=theirs) == set()
    assert approving(ANNA, roster=ours) == {"anna"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[",
        "[1]",
        '[{"approver_id":"anna"}]',
        json.dumps([{**ANNA, "more": 1}]),
        json.dumps([{**ANNA, "signature": "zz"}]),
        json.dumps([{**ANNA, "signature": None}]),
        json.dumps([{**ANNA, "approver_id": ["anna"]}]),
        json.dumps([ANNA, {}]),
        json.dumps([ANNA] * (APPROVALS_MAX + 1)),
    ],
)
def test_approvals_that_cannot_be_read_are_none(text: str) -> None:
    assert not approvers_of(replace(RECORD, approvals=text), ROSTER)


def test_an_approval_made_by_openssl_counts(tmp_path: Path) -> None:
    key, text = tmp_path / "key.pem", tmp_path / "text"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
    pem = openssl("pkey", "-in", str(key), "-pubout").decode()
    text.write_bytes(
        approval_text(
            payout_id=RECORD.payout_id, programme_id=RECORD.programme_id, order_digest=RECORD.order_digest
        )
    )
    signature = openssl("dgst", "-sha256", "-sign", str(key), str(text))

    approver = Approver(id="dora", public_key_pem=pem, programme_ids=None)
    found = approvers_of(
        replace(RECORD, approvals=json.dumps([{"approver_id": "dora", "signature": signature.hex()}])),
        {"dora": approver},
    )
    assert found == {fingerprint(pem): "dora"}


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"approvals_needed": "0"}, "0 is not a whole number from 1"),
        ({"approvals_above_minor": "-1"}, "-1 is not a whole number from 0"),
        ({"cooling_period_s": "-1"}, "-1 is not a whole number from 0"),
        ({"screening_age_max_s": "1000000000000"}, "is not a whole number from 0 to 999999999999"),
        (
            {"production": "", "per_hour_limit_minor": "1", "per_day_limit_minor": "1"},
            "production needs --approvals-above-minor",
        ),
        (
            {
                "production": "",
                "per_hour_limit_minor": "1",
                "per_day_limit_minor": "1",
                "approvals_above_minor": "0",
                "approvals_needed": "2",
                "cooling_period_s": "0",
            },
            "production needs --screening-age-max-s",
        ),
    ],
)
def test_conditions_that_are_not_said_well_end_the_start(
    bare_token: SoftHsmToken, tmp_path: Path, options: dict[str, str | None], told: str
) -> None:
    done = bare_token.serve_and_fail(tmp_path, **options)

    assert done.returncode == 2
    assert told in done.stderr
