"""The bench of the enclave counts what was signed, and only that. How fast anything is stands in no test."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.bench.failure import BenchRefused
from api.bench.signing_callers import Asked, ask
from api.cli import main
from tests.enclave.attesting import attesting_enclave


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose sockets have short names."""
    directory = Path(tempfile.mkdtemp(prefix="tallystick-bench-"))
    monkeypatch.chdir(directory)
    yield directory
    shutil.rmtree(directory)


def test_a_quick_run_measures_everything_and_leaves_only_its_rows(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tallystick", "bench-enclave", "--quick"])

    main()

    rows = json.loads((home / ".tallystick" / "bench" / "enclave.json").read_text())
    assert [row["bar"] for row in rows] == [0.4, None, 0.6, None, None, 0.9]
    assert all(list(row) == ["name", "value", "unit", "reference", "ratio", "bar"] for row in rows)
    assert all(row["value"] > 0 for row in rows)
    assert "payouts, 16 callers, through the socket, log durable" in capsys.readouterr().out
    assert not (home / ".tallystick" / "bench-enclave").exists()


def test_every_request_is_asked_once_and_every_answer_counted(home: Path) -> None:
    requests = [b'{"purpose":"ping"}'] * 50

    with attesting_enclave(home) as socket_path:
        asked = ask(socket_path, requests, callers=7, seconds=30)

    asked.check()
    assert len(asked.answers) == len(asked.latencies_s) == 50
    assert asked.rate > 0


def test_fewer_requests_than_callers_are_enough(home: Path) -> None:
    with attesting_enclave(home) as socket_path:
        asked = ask(socket_path, [b'{"purpose":"ping"}'] * 2, callers=7, seconds=30)

    assert len(asked.answers) == 2


def test_a_refusal_is_no_signature() -> None:
    refused = b'{"detail":"no","ok":false,"refusal":"payout_unknown"}'

    with pytest.raises(BenchRefused, match="payout_unknown"):
        Asked([b'{"ok":true}', refused], [0.1, 0.1], 1.0).check()
