"""The bench of the partner banks measures what it says. How fast anything is stands in no test."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from api.bench.failure import BenchRefused
from api.bench.partners import PARTNER_WORKLOADS
from api.bench.partners_scale import QUICK
from api.bench.partners_write import check_same, write
from api.cli import main

pytestmark = pytest.mark.slow


def test_a_quick_run_measures_every_workload_and_writes_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tallystick", "bench-partners", "--quick"])

    main()

    rows = json.loads((tmp_path / ".tallystick" / "bench" / "partners.json").read_text())
    assert len(rows) >= len(PARTNER_WORKLOADS)
    assert all(list(row) == ["name", "value", "unit", "reference", "ratio", "bar"] for row in rows)
    assert "write a pain.001 of 100 payments" in capsys.readouterr().out


def test_a_loop_that_writes_something_else_is_no_reference() -> None:
    check_same(b"<a><b>1</b></a>", b'<?xml version="1.0"?>\n<a><b>1</b></a>')

    with pytest.raises(BenchRefused, match="the same elements"):
        check_same(b"<a><b>1</b></a>", b"<a><b>2</b></a>")


def test_writing_is_judged_by_an_upper_bound() -> None:
    [row] = write(QUICK, Console(quiet=True))

    assert (row.bar, row.at_most) == (1.5, True)
    assert row.reference is not None
    assert row.reference > 0
