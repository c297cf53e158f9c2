"""The guide to adapters, pasted into a shell as a newcomer would: a package is built, installed and certified."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "write-an-adapter.md"
EXAMPLE = ROOT / "docs" / "examples" / "toybank"
GUIDE_S_MAX = 200


def script(**values: str) -> str:
    """All shell blocks, in order, with other values for the assignments at the top."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    for name, value in values.items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1, f"the guide assigns {name} once"
    return text


def test_the_guide_to_adapters_runs_as_it_stands(tmp_path: Path) -> None:
    place = tmp_path / "place"
    text = script(
        python=sys.executable, tallystick=str(Path(sys.executable).with_name("tallystick")), place=str(place)
    )

    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{text}"],
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUIDE_S_MAX,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "faults in the manifest: ()" in done.stdout
    assert "Unknown(cause='Toybank answered with status 502')" in done.stdout
    assert "FAILED 4 duplicate request, answer: called a duplicate accepted" in done.stdout
    assert done.stdout.count("toybank: gold") == 2
    assert json.loads((place / "report.json").read_text())["level"] == "gold"
    assert "<h1>Certification of the adapter toybank</h1>" in (place / "report.html").read_text()


def test_the_package_of_the_guide_is_the_example() -> None:
    shown = re.search(r"<<'END'\n(.*?)^END$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None

    kept = (EXAMPLE / "pyproject.toml").read_text("utf-8")

    assert {line for line in shown[1].splitlines() if line} <= set(kept.splitlines())
