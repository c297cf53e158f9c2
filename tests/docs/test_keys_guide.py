"""The guide to keys, pasted into a shell as a reader would, on a token and a database of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from enclave.drafts import DraftedResolutions
from enclave.keys import Purpose
from enclave.resolutions import register_of
from enclave.roster import read_roster
from enclave.softhsm import find_module
from enclave.store import DatabaseResolutions
from tests.conftest import Database

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "keys.md"
GUIDE_S_MAX = 280


def script(**values: str) -> str:
    """All shell blocks, in order, with other values for the assignments at the top."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    for name, value in values.items():
        text, count = re.subn(
            rf"^{name}=.*$", lambda _, said=f"{name}='{value}'": said, text, flags=re.MULTILINE
        )
        assert count == 1, f"the guide assigns {name} once"
    return text


def test_the_guide_to_keys_runs_as_it_stands(database: Database, tmp_path: Path) -> None:
    text = script(
        module=str(find_module()),
        place=str(tmp_path),
        tallystick=str(Path(sys.executable).with_name("tallystick")),
        custodians_database=database.url("tallystick_custodian"),
        enclaves_database=database.url("tallystick_enclave"),
    )
    banks = tmp_path / "banks.json"
    banks.write_text("{}")
    settings = {
        "TALLYSTICK_DATABASE_URL": database.url("tallystick_app"),
        "TALLYSTICK_ENCLAVE_SOCKET": str(tmp_path / "enclave.sock"),
        "TALLYSTICK_PUBLIC_URL": "http://tallystick.test",
        "TALLYSTICK_BANKS_FILE": str(banks),
        "TALLYSTICK_EXPORTS_DIRECTORY": str(tmp_path / "exports"),
        "TALLYSTICK_CLOCK": "test",
    }

    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{text}"],
        check=False,
        env={"PATH": os.environ["PATH"], **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUIDE_S_MAX,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert f"keys made: {len(Purpose)}\n" in done.stdout
    assert f"resolution 2 is in force, {len(Purpose) + 1} keys are ready" in done.stdout
    assert re.search(r"^payout +payout/v1 ", done.stdout, re.MULTILINE)
    assert re.search(r"^payout/v2 ", done.stdout, re.MULTILINE)
    assert "retire key payout/v1 from" in done.stdout
    assert "admit approver anna, SHA-256" in done.stdout
    assert f"enclave: {len(Purpose)} keys ready\n" in (tmp_path / "err").read_text()
    same_in_files_and_database(database, tmp_path)


def same_in_files_and_database(database: Database, place: Path) -> None:
    roster = read_roster((place / "roster.json").read_bytes())
    with DatabaseResolutions(database.url("tallystick_enclave")) as resolutions:
        registered = register_of(resolutions.all(), roster)

    assert registered == register_of(DraftedResolutions(place / "registered").all(), roster)
    assert (registered.head.number, list(registered.approvers)) == (4, ["anna"])
