"""Which program `tallystick` becomes, and that it says so in its help."""

import pytest

from api.cli import keys_app
from api.entry import CUSTODIANS, program_for


@pytest.mark.parametrize(
    ("said", "module", "rest"),
    [
        ("enclave serve --socket s", "enclave", "serve --socket s"),
        ("bank --port 0", "partners.sandbox", "--port 0"),
        ("keys rotate --purpose payout", "enclave", "rotate --purpose payout"),
        ("keys list", "api.cli", "keys list"),
        ("keys", "api.cli", "keys"),
        ("demo", "api.cli", "demo"),
        ("", "api.cli", ""),
    ],
)
def test_each_command_goes_to_its_program(said: str, module: str, rest: str) -> None:
    assert program_for(said.split()) == (module, rest.split())


def test_the_help_shows_what_custodians_can_do() -> None:
    shown = {command.name for command in keys_app.registered_commands}

    assert shown >= CUSTODIANS.keys()
