"""`tallystick certify`: what it prints, what it writes, and how it ends."""

import json
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from api.certifying import certify_adapter
from api.cli import main
from partners.certify import loading
from partners.certify.loading import RehearsalMissing, load_rehearsal

Ended = tuple[int, str, str]


@pytest.fixture
def tallystick(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tallystick", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs packages that bring these entry points."""

    def install(**groups: str) -> None:
        info = tmp_path / "stranger-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
        named = "\n".join(f"[tallystick.{group}]\n{entry}" for group, entry in groups.items())
        (info / "entry_points.txt").write_text(named)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_sound_adapter_ends_with_zero_and_its_report_is_written(
    tallystick: Callable[..., Ended], tmp_path: Path
) -> None:
    files = tmp_path / "report.json", tmp_path / "report.html"

    code, out, err = tallystick(
        "certify", "clearbank", "--payouts", "4", "--json", files[0], "--html", files[1]
    )

    assert (code, err) == (0, "")
    assert "clearbank: gold (4 payouts a fault" in out
    assert "14 recall answered too late: this adapter sends no recalls" in out
    assert all(f"\n  {number:2} " in out for number in range(1, 21))
    assert json.loads(files[0].read_text())["payouts_a_fault"] == 4
    assert files[1].read_text().startswith("<!doctype html>")


def test_broken_adapter_ends_with_one_and_says_where(
    tallystick: Callable[..., Ended], strangers: Callable[..., None]
) -> None:
    strangers(
        adapters="broken = tests.partners.certify.strangers:Broken",
        rehearsals="broken = partners.clearbank.rehearsal:ClearBankRehearsal",
    )

    code, out, err = tallystick("certify", "broken", "--payouts", "4")

    assert code == 1
    assert "FAILED 4 duplicate request, answer: called a duplicate accepted" in out
    assert err.startswith("tallystick: the adapter 'broken' failed in ")
    assert "broken: none" in out


def test_adapter_that_is_not_there_is_one_line(tallystick: Callable[..., Ended]) -> None:
    code, out, err = tallystick("certify", "clearbonk")

    assert (code, out) == (2, "")
    assert err.startswith("tallystick: The adapter 'clearbonk' cannot be used: 0 installed packages bring it")
    assert err.count("\n") == 1


def test_adapter_without_a_rehearsal_is_not_certified(
    tallystick: Callable[..., Ended], strangers: Callable[..., None]
) -> None:
    strangers(adapters="broken = tests.partners.certify.strangers:Broken")

    code, _, err = tallystick("certify", "broken")

    assert code == 2
    assert err == (
        "tallystick: 0 installed packages bring a rehearsal of 'broken' (tallystick.rehearsals).\n"
    )


def test_rehearsal_that_is_not_whole_names_what_it_lacks(strangers: Callable[..., None]) -> None:
    strangers(rehearsals="half = tests.partners.certify.strangers:HalfARehearsal")

    with pytest.raises(RehearsalMissing, match=r"lacks accepts, .*read_order, .*turns_away\.$"):
        load_rehearsal("half")


def test_every_adapter_of_ours_that_can_be_rehearsed_is_gold(capsys: pytest.CaptureFixture[str]) -> None:
    rehearsed = {found.name for found in entry_points(group=loading.GROUP)}
    assert rehearsed >= {"clearbank"}

    for name in sorted(rehearsed):
        certify_adapter(name, payouts=4, json_file=None, html_file=None)
        assert f"{name}: gold" in capsys.readouterr().out


def test_how_many_payouts_is_bounded(tallystick: Callable[..., Ended]) -> None:
    assert tallystick("certify", "clearbank", "--payouts", "0")[0] == 2
