"""The page about the sandbox bank: its commands run, and it leaves out no fault and no endpoint."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from partners.sandbox.app import CONTROL
from partners.sandbox.payees import MAGIC
from partners.sandbox.records import FaultKind, Script
from tests.partners.sandbox.bank_process import BankProcess, SigningClient
from tests.partners.sandbox.customers import open_customer

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox-bank.md").read_text("utf-8")
PAGE_S_MAX = 60


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)


def test_the_commands_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    assert shutil.which("curl"), "the page needs curl, and this machine has none"
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        client.control("clock", {"now": "2031-03-03T09:00:00Z"})
        iban = open_customer(client, funds="0").iban

        done = subprocess.run(
            ["bash", "-c", f"set -eu\nbank='{bank.url}' iban='{iban}'\n{script}"],
            check=False,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PAGE_S_MAX,
        )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    listed = next(answer["accounts"] for answer in answers if "accounts" in answer)
    assert [account["actualMinor"] for account in listed] == [25_180]


def test_every_fault_is_told_once() -> None:
    told = re.findall(r"`(\w+)`", " ".join(first_cells(section("Faults"))))

    assert sorted(told) == sorted(["kind", *FaultKind])


def test_the_twenty_are_told_in_their_order() -> None:
    numbers = [cell for cell in first_cells(section("The twenty ways to go wrong")) if cell.isdigit()]

    assert numbers == [str(number) for number in range(1, 21)]


def test_every_kind_that_the_twenty_name_is_there() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", section("The twenty ways to go wrong")))

    assert named
    assert named <= set(FaultKind)


def test_every_endpoint_of_the_control_surface_is_told() -> None:
    told = set(re.findall(r"`((?:GET|POST) [\w/-]+)`", section("Endpoints")))
    there = {f"{method} {path.removeprefix('/sandbox/')}" for method, path, _ in CONTROL}

    assert told == there | {"GET public-key"}


def test_every_magic_reference_is_told() -> None:
    told = set(re.findall(r"`(--\w+--)`", section("Magic references")))

    assert told == {script for script in Script if script} | set(MAGIC)
