"""A payout above the amount waits for people: its account is verified, and two of them approve it with openssl."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.caller import ApiCaller, until
from api.custodians import agree
from api.stack import DATABASE, Stack
from enclave.client import EnclaveClient
from enclave.drafts import drafted, write_draft
from enclave.resolutions import AdmitApprover, register_of
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions
from tests.story.installation import WAIT_S, Installation, install

pytestmark = pytest.mark.story

ABOVE_MINOR = 1000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a key of his own, in a file that nobody else reads."""

    name: str
    key: Path

    @staticmethod
    def introduced(directory: Path, name: str) -> "Person":
        key = directory / f"{name}.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        return Person(name, key)

    @property
    def public_pem(self) -> str:
        return openssl("pkey", "-in", str(self.key), "-pubout").decode()

    def approval(self, payout: dict[str, Any]) -> dict[str, str]:
        text = self.key.with_suffix(".text")
        text.write_bytes(base64.b64decode(payout["text_to_sign"]))
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), str(text))
        return {"approver_id": self.name, "signature": base64.b64encode(signature).decode()}


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    directory = tmp_path_factory.mktemp("people")
    return [Person.introduced(directory, name) for name in ("anna", "boris", "mallory")]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, people: list[Person]) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("approved")
    conditions = {
        "--approvals-above-minor": str(ABOVE_MINOR),
        "--approvals-needed": "2",
        "--cooling-period-s": "0",
        "--screening-age-max-s": "3600",
    }
    stack = Stack(directory / "home", clock="test", enclave_options=tuple(sum(conditions.items(), ())))
    stack.start()
    try:
        admit(stack, [person for person in people if person.name != "mallory"])
        running = install(stack)
        yield running
        running.close()
    finally:
        stack.stop()


def admit(stack: Stack, people: list[Person]) -> None:
    """The custodians admit these people, while the enclave goes on."""
    home, url = stack.home / "enclave", stack.postgres.url("tallystick_custodian", DATABASE)
    with DatabaseResolutions(url) as resolutions:
        register = register_of(
            resolutions.all(), read_roster((home / "custodians" / "roster.json").read_bytes())
        )
    items = [AdmitApprover(approver_id=person.name, public_key_pem=person.public_pem) for person in people]
    write_draft(home / "approvers.json", drafted(items, register, at=datetime.now(UTC)))
    agree(home / "approvers.json", home / "custodians", url)
    with EnclaveClient(stack.home / "enclave.sock") as enclave:
        assert enclave.load_keys().resolution == register.head.number + 1


def order(installation: Installation, reference: str, amount_minor: int) -> dict[str, Any]:
    body = {
        "party_id": installation.merchant["id"],
        "reference": reference,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "rail": "SCT_INST",
        "remittance": "Payout",
    }
    return installation.pay.post("/v1/payouts", body)


def waits_for(installation: Installation, payout: dict[str, Any], code: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found = installation.payout(payout["id"])
        return found if found["waits_for"] == code else None

    return until(f"payout {payout['id']} waits for {code}", reached, within_s=WAIT_S)


def compliance_officer(installation: Installation) -> ApiCaller:
    """A client of somebody else than the desk that sets accounts and orders payouts."""
    stack = installation.stack
    name, secret = stack.operator()
    operator = ApiCaller(stack.api_url, client_id=name, secret=secret)
    programme_id = json.loads(signed_text(order(installation, "probe", 1)))["programme_id"]
    made = operator.post(f"/v1/programmes/{programme_id}/clients", {"scopes": ["compliance"]})
    operator.close()
    return ApiCaller(stack.api_url, client_id=made["client_id"], secret=made["client_secret"])


def signed_text(payout: dict[str, Any]) -> bytes:
    first, text = base64.b64decode(payout["text_to_sign"]).split(b"\n")
    assert first == b"tallystick-payout-approval-v1"
    return text


def test_a_payout_above_the_amount_is_sent_once_two_people_have_approved_it(
    installation: Installation, people: list[Person]
) -> None:
    anna, boris, mallory = people
    small, large = order(installation, "small", ABOVE_MINOR), order(installation, "large", ABOVE_MINOR + 1)
    waits_for(installation, small, "beneficiary_unverified")
    waits_for(installation, large, "beneficiary_unverified")

    officer = compliance_officer(installation)
    accounts = officer.get("/v1/payout-accounts")["data"]
    [account] = [item for item in accounts if item["party_id"] == installation.merchant["id"]]
    officer.post(f"/v1/payout-accounts/{account['id']}/verification", {"how": "four_eyes"})
    officer.close()

    installation.payout_in(small["id"], "settled")
    asked = waits_for(installation, large, "approvals_missing")
    assert (large["text_to_sign"], large["order_digest"]) == (asked["text_to_sign"], asked["order_digest"])

    path = f"/v1/payouts/{large['id']}/approvals"
    installation.pay.post(path, anna.approval(asked))
    installation.pay.post(path, {**mallory.approval(asked), "approver_id": "boris"})
    installation.pay.post(path, boris.approval(small))
    until(
        "a try after the last of three signatures, of which one counts",
        lambda: len(installation.payout(large["id"])["attempts"]) > len(asked["attempts"]) or None,
        within_s=WAIT_S,
    )
    installation.payout_in(large["id"], "pending_approval")
    waits_for(installation, large, "approvals_missing")
    assert installation.orders_at_the_bank(large["end_to_end_id"]) == []

    installation.pay.post(path, boris.approval(asked))

    settled = installation.payout_in(large["id"], "settled")
    assert len(installation.orders_at_the_bank(large["end_to_end_id"])) == 1
    assert [item["approver_id"] for item in settled["approvals"]] == ["anna", "boris", "boris", "boris"]
    assert settled["waits_for"] is None
