"""The worked example through every process, exactly as `make demo` plays it."""

import json
import subprocess
from pathlib import Path

import pytest

from api.demo import STORY, differences, play

pytestmark = pytest.mark.story


def test_every_figure_of_the_story_comes_out(tmp_path: Path) -> None:
    home = tmp_path / "demo"

    play(home)

    summary = json.loads((home / "summary.json").read_text())
    expected = json.loads(STORY.read_text())["expected"]
    assert summary["measured"] == expected
    assert summary["differences"] == []
    hledger_agrees_with_the_trial_balance(Path(summary["export"]), Path(summary["reports"]["trial_balance"]))


def hledger_agrees_with_the_trial_balance(export: Path, trial_balance: Path) -> None:
    (journal,) = export.glob("*.journal")
    subprocess.run(["hledger", "-f", str(journal), "check"], check=True)
    printed = subprocess.run(
        ["hledger", "-f", str(journal), "bal", "--no-total", "--layout=bare", "-O", "csv"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    theirs = sorted(int(row.split(",")[2].strip('"').replace(".", "")) for row in printed.splitlines()[1:])
    rows = [line.split(",") for line in trial_balance.read_text().splitlines()]
    net = rows[0].index("net_minor")
    ours = sorted(int(row[net]) for row in rows[1:] if int(row[net]) != 0)
    assert theirs == ours


def test_a_figure_that_differs_is_named() -> None:
    expected = {"bank": {"closing": 100}, "kept": True}

    assert differences(expected, {"bank": {"closing": 101}, "kept": True}) == ["bank.closing is 101, not 100"]
    assert differences(expected, {"bank": {"closing": 100}, "kept": 1}) == ["kept is 1, not True"]
    assert differences(expected, {"bank": {}, "kept": True}) == ["bank.closing is None, not 100"]
