"""The guide to HSMs, pasted into a shell as a reader would, on a SoftHSM2 token of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from enclave.backends.mechanisms import mechanisms_of
from enclave.keys import Algorithm, Purpose, algorithm_of
from enclave.softhsm import find_module

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "hsm.md"
GUIDE_S_MAX = 120
NO_DATABASE = "postgresql://tallystick_enclave@127.0.0.1:1/nowhere"


def script(**values: str) -> str:
    """All shell blocks, in order, with other values for the assignments at the top."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    for name, value in values.items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1, f"the guide assigns {name} once"
    return text


def test_the_guide_to_hsms_runs_as_it_stands(tmp_path: Path) -> None:
    for program in ("bash", "openssl"):
        assert shutil.which(program), f"the guide needs {program}, and this machine has none"
    tallystick = Path(sys.executable).with_name("tallystick")
    text = script(
        module=str(find_module()), place=str(tmp_path), tallystick=str(tallystick), database=NO_DATABASE
    )

    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{text}"],
        check=False,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUIDE_S_MAX,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert f"keys made: {len(Purpose)}\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 records, head ")
    pairs = [purpose for purpose in Purpose if not algorithm_of(purpose).is_secret]
    assert len(list((tmp_path / "public-keys").iterdir())) == len(pairs)
    assert f"enclave: {len(Purpose)} keys ready" in (tmp_path / "enclave.err").read_text()
    assert "enclave: seccomp done" in (tmp_path / "enclave.err").read_text()


def test_the_guide_names_exactly_the_mechanisms_that_the_ceremony_asks_for() -> None:
    table = GUIDE.read_text("utf-8").partition("## What the module must offer")[2].partition("\n\nEd25519")[0]

    used = {algorithm_of(purpose) for purpose in Purpose}

    assert used == set(Algorithm)
    assert set(re.findall(r"CKM_(\w+)", table)) == {
        mechanism.name for algorithm in used for mechanism in mechanisms_of(algorithm)
    }
