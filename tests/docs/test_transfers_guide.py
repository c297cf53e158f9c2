"""The guide to transfers, pasted into a shell as a reader would, against a real installation."""

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from api.caller import ApiCaller
from api.stack import Stack

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "transfers.md"
GUIDE_S_MAX = 60
SCOPES = ["payments", "compliance", "ledger:read", "transfers:write"]
PROGRAMME = {
    "legal_name": "Guide B.V.",
    "currency": "EUR",
    "bank_connection": "sandbox",
    "safeguarding": {"bank_id": "guide-1", "iban": "NL73ABNA0529451824"},
    "operating": {"bank_id": "guide-2", "iban": "DE75512108001245126199"},
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path / "serve", clock="system", say=lambda _: None)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def told(script: str, **values: str) -> str:
    """The script with other values for the assignments at its top."""
    for name, value in values.items():
        script, count = re.subn(rf"^{name}=.*$", f"{name}={value}", script, flags=re.MULTILINE)
        assert count == 1, f"the guide assigns {name} once"
    return script


def client(stack: Stack) -> tuple[str, str]:
    """A client of a programme of its own: id and secret."""
    name, secret = stack.operator()
    with closing(ApiCaller(stack.api_url, client_id=name, secret=secret)) as operator:
        programme = operator.post("/v1/programmes", {"name": f"guide-{secrets.token_hex(4)}"} | PROGRAMME)
        made = operator.post(f"/v1/programmes/{programme['id']}/clients", {"scopes": SCOPES})
    return made["client_id"], made["client_secret"]


def token_of(stack: Stack, name: str, secret: str) -> str:
    form = {"grant_type": "client_credentials"}
    with httpx.Client(base_url=stack.api_url, trust_env=False) as http:
        answer = http.post("/oauth/token", data=form, auth=(name, secret)).raise_for_status()
    return str(answer.json()["access_token"])


def party(caller: ApiCaller, role: str, name: str) -> str:
    """The account of a party that was taken in."""
    body = {"role": role, "name": name, "reference": role}
    return str(caller.post("/v1/parties", body)["account_id"])


def fund(caller: ApiCaller, account_id: str, amount_minor: int) -> None:
    """Money that has come from the bank, as far as this test minds."""
    (bank,) = caller.get("/v1/accounts?code=safeguarding_bank")["data"]
    leg = {"debit": bank["id"], "credit": account_id, "amount_minor": amount_minor}
    command = {"id": f"xfr_{secrets.token_hex(16)}", "kind": "post", "reference": "in", "legs": [leg]}
    caller.post("/v1/transfers", command)


@pytest.mark.story
def test_the_guide_to_transfers_runs_as_it_stands(stack: Stack) -> None:
    for program in ("bash", "curl", "openssl"):
        assert shutil.which(program), f"the guide needs {program}, and this machine has none"
    name, secret = client(stack)
    with closing(ApiCaller(stack.api_url, client_id=name, secret=secret)) as caller:
        listed = {"name": "list", "legal_basis": "national", "csv": "entry,name\nD-1,Somebody Else\n"}
        caller.post("/v1/sanctions-lists", listed)
        ana, hotel = party(caller, "customer", "Ana Moreau"), party(caller, "merchant", "Hotel Mirador SL")
        fund(caller, ana, 10_000)
        values = {"api": stack.api_url, "token": token_of(stack, name, secret), "ana": ana, "hotel": hotel}
        script = told("\n".join(blocks("sh")), **values)

        done = subprocess.run(
            ["bash", "-c", f"set -eu\n{script}"],
            check=False,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GUIDE_S_MAX,
        )

        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        first, again, _, _, batch = answers
        assert (first["result"], again) == ("applied", first | {"result": "exists"})
        assert [group["result"] for group in batch["groups"]] == ["applied", "refused"]
        assert batch["groups"][1]["results"][0]["code"] == "insufficient_funds"
        assert caller.get(f"/v1/accounts/{hotel}")["posted_minor"] == 1_250 + 4_000 + 100 - 1


def test_the_answers_in_the_guide_have_the_members_that_are_answered() -> None:
    single, batch = blocks("text")

    assert set(re.findall(r'"(\w+)":', single)) == {"id", "result", "recorded_at", "moved_minor"}
    assert set(re.findall(r'"(\w+)":', batch)) == {"groups", "result", "results", "id", "code", "detail"}
