"""No number and no security code is left anywhere: by the API, a worker and the enclave, each in its own process."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from api.embedded import free_port
from api.operations import loaded_key_lines
from enclave.client import EnclaveRefused
from enclave.keys import Purpose
from tests.api.card_till import Till, opened
from tests.api.talk import Json
from tests.api.traces import Program, dump, files_under, found_in, running, seen_from_outside
from tests.conftest import Database
from tests.enclave.cards import AMEX, VISA
from tests.enclave.process import SoftHsmToken, eventually

CVV = "80514"
SECRETS = (VISA, AMEX, VISA[:-1], VISA[6:], AMEX[4:], CVV)


@dataclass(frozen=True, slots=True)
class Running:
    """A till whose API and worker are processes."""

    till: Till
    http: httpx.Client
    api: Program
    worker: Program

    def traces(self) -> dict[str, bytes]:
        """Whatever they have left so far, by place."""
        pids = {
            "api": self.api.process.pid,
            "worker": self.worker.process.pid,
            "enclave": self.till.enclave.process.pid,
        }
        return {
            **{f"{name} from outside": seen_from_outside(pid) for name, pid in pids.items()},
            "api's output": self.api.said(),
            "worker's output": self.worker.said(),
            "signing log": self.till.enclave.log_path.read_bytes(),
            "database": dump(self.till.database),
            "files": files_under(self.till.home),
        }


@pytest.fixture
def processes(tmp_path: Path, database: Database, token: SoftHsmToken) -> Iterator[Running]:
    """The API and a worker as they are run."""
    with opened(tmp_path / "till", database, token) as till:
        port = free_port()
        program = ("-P", "-m", "api.cli")
        # Their output is no file of the till: it is looked at by itself.
        with (
            running(
                [*program, "api", "--port", str(port)],
                till.environment,
                output=tmp_path / "api.out",
                ready=b"startup complete",
            ) as api,
            running(
                [*program, "work"], till.environment, output=tmp_path / "worker.out", ready=b"worker ready"
            ) as worker,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http,
        ):
            yield Running(till, http, api, worker)


def test_no_process_leaves_a_number_or_a_security_code_anywhere(processes: Running) -> None:
    till = processes.till
    session = till.api
    headers = {"Authorization": f"Bearer {session.token}"}
    bodies: list[Json] = [
        till.jwe(),
        till.jwe(pan=AMEX),
        till.jwe(cvv=CVV),
        till.jwe(pan=VISA[:-1] + "2"),
        till.jwe(expiry_year=2025),
        {"jwe": VISA},
        {"pan": VISA, "cvv": CVV},
        {"jwe": "a.b.c.d.e", "cvv": CVV},
        {"jwe": "a.b.c.d.e", "card": {"number": AMEX}},
    ]

    answers = [
        processes.http.post("/v1/cards", json=body, headers=headers | {"Idempotency-Key": f"k-{place}"})
        for place, body in enumerate(bodies)
    ]
    answers.append(processes.http.post(f"/v1/cards/{VISA}", headers=headers))
    till.council.rotate(Purpose.CARD_VAULT)
    loaded_key_lines(till.parts)
    assert eventually(lambda: till.under() == {"card_vault/v2": 2})
    tampered = replace(next(iter(till.cards().values())), last_four="0000")
    with pytest.raises(EnclaveRefused):
        till.number_of(tampered)

    assert [answer.status_code for answer in answers[:3]] == [201, 201, 422]
    assert {till.number_of(card) for card in till.cards().values()} == {
        VISA,
        AMEX,
    }  # they are there, and sealed
    traces = processes.traces() | {"answers": b"\n".join(answer.content for answer in answers)}
    assert all(traces.values()), "every place was looked at"
    assert b"job.done name=reseal_cards" in traces["worker's output"]
    till.enclave.terminate()
    traces["enclave's output"] = till.enclave.errors().encode()
    assert found_in(traces, SECRETS) == set()


def test_the_search_finds_what_is_there(processes: Running) -> None:
    till = processes.till
    with till.database.owner_engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO idempotency_keys (client_id, endpoint, key, fingerprint, body, created_at)"
            " VALUES ('cli', 'POST', %s, %s, %s, now())",
            ("k", VISA.encode(), base64.b64encode(CVV.encode()).decode()),
        )
    (till.home / "planted").write_text(AMEX)
    code = "import sys; print('ready', sys.argv[2], flush=True); import signal; signal.pause()"
    planted = running(
        ["-c", code, VISA, AMEX], {"CARD": CVV}, output=till.home / "planted.out", ready=b"ready"
    )

    with planted as program:
        traces = processes.traces() | {
            "from outside": seen_from_outside(program.process.pid),
            "output": program.said(),
        }

    found = found_in(traces, (VISA, AMEX, CVV))
    assert {("from outside", VISA), ("from outside", CVV), ("output", AMEX)} <= found
    assert {("database", VISA), ("database", CVV), ("files", AMEX)} <= found
    assert not {place for place, _ in found} & {"signing log", "api from outside", "worker from outside"}
