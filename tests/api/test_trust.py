"""The pinned enclave and the processes of ours that work with it: real processes, on a real socket."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import pytest

from api.embedded import free_port
from api.operator import make_operator
from api.parts import build_parts
from api.settings import SettingsInvalid, read_settings
from api.worker import build_queue
from enclave.client import EnclaveUntrusted
from enclave.keys import fingerprint
from enclave.pinned_hashes import Pins, read_pins, write_pins
from tests.api.installation import Installation
from tests.api.promises import keep_promises, promises
from tests.api.test_cli import Told, failed
from tests.api.world import Shop
from tests.enclave.process import SoftHsmToken
from tests.partners.sandbox.bank_process import wait_for

pytestmark = pytest.mark.slow

HASHES = ["code_sha256", "libraries_sha256", "configuration_sha256", "policy_sha256", "identity_sha256"]


def run(environment: Mapping[str, str], home: Path, *arguments: str | Path) -> Told:
    """The command as people run it."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "api.cli", *map(str, arguments)],
        env={**environment, "PATH": os.environ["PATH"]},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Told(done.returncode, done.stdout, done.stderr)


def pins_of(at: Installation) -> Pins:
    assert at.settings.enclave_pins_file is not None
    return read_pins(at.settings.enclave_pins_file)


def environment_with(at: Installation, pins: Pins, directory: Path) -> dict[str, str]:
    write_pins(directory / "pins.json", pins)
    return {**at.environment, "TALLYSTICK_ENCLAVE_PINS_FILE": str(directory / "pins.json")}


def test_attest_shows_what_the_enclave_is_and_that_it_is_as_pinned(
    installation: Installation, token: SoftHsmToken
) -> None:
    told = run(installation.environment, installation.home, "keys", "attest")

    rows = [line.split() for line in told.out.splitlines()]
    shown = {row[0]: row[1] for row in rows if row[1].startswith("sha256:")}
    assert (told.code, told.err) == (0, "")
    assert shown == {
        name.removesuffix("_sha256"): f"sha256:{value}"
        for name, value in asdict(pins_of(installation)).items()
    }
    assert ["key", "identity/v1", f"sha256:{fingerprint(token.pem('identity'))}"] in rows
    assert told.out.splitlines()[-1] == f"as pinned in {installation.settings.enclave_pins_file}"


def test_attest_pins_what_it_shows_when_told_to(installation: Installation, tmp_path: Path) -> None:
    told = run(
        installation.environment, tmp_path, "keys", "attest", "--write-pins", tmp_path / "written.json"
    )

    assert (told.code, told.err) == (0, "")
    assert read_pins(tmp_path / "written.json") == pins_of(installation)
    failed(
        run(installation.environment, tmp_path, "keys", "attest", "--write-pins", tmp_path / "no" / "where"),
        "where",
    )


@pytest.mark.parametrize("name", HASHES)
def test_attest_says_which_hash_differs(installation: Installation, tmp_path: Path, name: str) -> None:
    other = replace(pins_of(installation), **{name: "00" * 32})

    told = run(environment_with(installation, other, tmp_path), tmp_path, "keys", "attest")

    said = [line for line in told.out.splitlines() if line.startswith("another than pinned")]
    assert (told.code, told.err, len(said)) == (1, "", 1)
    assert f" {name.removesuffix('_sha256')} (pinned 0000000000000000, found " in said[0]


@pytest.mark.parametrize("command", ["api", "work", "keys"])
@pytest.mark.parametrize("name", ["code_sha256", "identity_sha256"])
def test_no_process_goes_to_work_with_an_enclave_that_is_not_the_pinned_one(
    installation: Installation, tmp_path: Path, command: str, name: str
) -> None:
    other = replace(pins_of(installation), **{name: "00" * 32})

    told = run(environment_with(installation, other, tmp_path), tmp_path, command)

    failed(told, f"another than pinned: {name.removesuffix('_sha256')} (", "tallystick keys attest")


def test_a_job_that_meets_another_enclave_fails_and_the_log_says_what_differs(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wish = shop.api.make("/v1/exports")
    other = replace(pins_of(shop.at), policy_sha256="00" * 32)
    parts = build_parts(read_settings(environment_with(shop.at, other, tmp_path)))
    (promise,) = (each for each in promises(parts) if each.arguments.get("export_id") == wish["id"])
    try:
        with pytest.raises(EnclaveUntrusted):
            build_queue(parts).tasks["make_export"](**promise.arguments)
    finally:
        parts.close()

    assert "job.failed name=make_export" in caplog.text
    assert "EnclaveUntrusted: the enclave is not trusted: another than pinned: policy (" in caplog.text
    keep_promises(shop.at.parts)
    assert shop.api.read(f"/v1/exports/{wish['id']}")["state"] == "ready"


@dataclass(frozen=True, slots=True)
class RunningApi:
    """The API as a process, and what it writes."""

    http: httpx.Client
    log: Path

    def token(self, credentials: tuple[str, str]) -> httpx.Response:
        form = {"grant_type": "client_credentials"}
        return self.http.post("/oauth/token", data=form, auth=credentials)


@contextmanager
def running_api(environment: Mapping[str, str], home: Path) -> Iterator[RunningApi]:
    port, log = free_port(), home / "api.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "api.cli", "api", "--port", str(port)],
            env={**environment, "PATH": os.environ["PATH"]},
            cwd=home,
            stdout=file,
            stderr=file,
        )
    with process, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
        try:
            wait_for("the API", lambda: "Application startup complete" in log.read_text() or None)
            yield RunningApi(http, log)
        finally:
            process.terminate()


def test_an_enclave_that_is_exchanged_while_the_api_runs_is_asked_for_nothing(
    installation: Installation, token: SoftHsmToken, tmp_path: Path
) -> None:
    credentials = make_operator(installation.parts)
    environment = {
        **installation.environment,
        "TALLYSTICK_ENCLAVE_SOCKET": str(tmp_path / "enclave.sock"),
        "TALLYSTICK_ENCLAVE_PINS_FILE": str(tmp_path / "pins.json"),
    }
    with token.serving(tmp_path) as enclave:
        told = run(environment, tmp_path, "keys", "attest", "--write-pins", tmp_path / "pins.json")
        assert told.code == 0, told
        with running_api(environment, tmp_path) as api:
            assert api.token(credentials).status_code == 200
            enclave.terminate()
            with token.serving(tmp_path, per_hour_limit_minor="1"):
                assert api.token(credentials).status_code == 500
            with token.serving(tmp_path):
                assert api.token(credentials).status_code == 200
            written = api.log.read_text()

    records = [json.loads(line) for line in (tmp_path / "signing.log").read_text().splitlines()]
    purposes = [record["purpose"] for record in records]
    starts = [place for place, record in enumerate(records) if record["kind"] == "started"]
    assert "another than pinned: configuration (" in written
    assert set(purposes[starts[1] + 1 : starts[2]]) == {"keys", "attestation"}
    assert purposes.count("access_token") == 2


def test_an_enclave_that_is_not_there_yet_does_not_keep_the_api_from_starting(
    installation: Installation, tmp_path: Path
) -> None:
    environment = {**installation.environment, "TALLYSTICK_ENCLAVE_SOCKET": str(tmp_path / "nobody.sock")}

    with running_api(environment, tmp_path) as api:
        assert api.http.get("/healthz").status_code == 200
        assert api.token(make_operator(installation.parts)).status_code == 500


def test_only_an_installation_with_a_test_clock_does_without_pins(installation: Installation) -> None:
    given = {
        name: value
        for name, value in installation.environment.items()
        if name != "TALLYSTICK_ENCLAVE_PINS_FILE"
    }

    assert read_settings(given).enclave_pins_file is None
    for clock in (
        {"TALLYSTICK_CLOCK": "system"},
        {"TALLYSTICK_CLOCK": "system", "TALLYSTICK_ENCLAVE_PINS_FILE": ""},
    ):
        with pytest.raises(SettingsInvalid, match="TALLYSTICK_ENCLAVE_PINS_FILE"):
            read_settings({**given, **clock})


def test_pins_that_cannot_be_read_are_no_pins_to_do_without(
    installation: Installation, tmp_path: Path
) -> None:
    for content in (None, b"", b"{}"):
        file = tmp_path / "pins.json"
        if content is not None:
            file.write_bytes(content)
        environment = {**installation.environment, "TALLYSTICK_ENCLAVE_PINS_FILE": str(file)}
        failed(run(environment, tmp_path, "keys"), "TALLYSTICK_ENCLAVE_PINS_FILE", "pins.json")
