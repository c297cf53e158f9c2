"""The README's tour of the API, pasted into a shell as a reader would, against a real installation."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.stack import Stack

ROOT = Path(__file__).parents[2]
TOUR = "## A tour of the API by curl"
TOUR_S_MAX = 180


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path / "serve", clock="system", say=lambda _: None)
    running.start()
    try:
        running.operator()
        yield running
    finally:
        running.stop()


def tour() -> str:
    """All shell blocks of the tour, in order."""
    section = (ROOT / "README.md").read_text("utf-8").partition(TOUR)[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def told(script: str, name: str, value: str) -> str:
    """The script with another value for one of the assignments at its top."""
    changed, count = re.subn(rf"^{name}=.*$", f"{name}={value}", script, flags=re.MULTILINE)
    assert count == 1, f"the tour assigns {name} once"
    return changed


@pytest.mark.story
def test_the_tour_of_the_readme_runs_as_it_stands(stack: Stack) -> None:
    for program in ("bash", "curl", "openssl", "tar"):
        assert shutil.which(program), f"the tour needs {program}, and this machine has none"
    script = told(told(tour(), "installation", str(stack.home)), "api", stack.api_url)

    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{script}"],
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(stack.home.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TOUR_S_MAX,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.stdout.splitlines()[-1].startswith("verified: "), done.stdout[-500:]


def test_the_tour_assigns_what_depends_on_the_installation_once() -> None:
    assert told(tour(), "installation", "elsewhere") != tour()
    assert told(tour(), "api", "http://127.0.0.1:1") != tour()
