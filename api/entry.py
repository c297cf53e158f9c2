"""The command `tallystick`: finds the program that is meant and becomes it.

The enclave and the sandbox bank are programs of their own, and custodians should not wait until the API is loaded. What
a process inherits, such as a descriptor with a PIN, goes on with it. Imports nothing of what it starts.
"""

import os
import sys
from collections.abc import Mapping, Sequence

CLI = "api.cli"
PROGRAMS: Mapping[str, str] = {"enclave": "enclave", "bank": "partners.sandbox"}
CUSTODIANS: Mapping[str, str] = {
    "ceremony": "Makes the token and the first keys, and drafts their admission.",
    "rotate": "Makes the next version of a key, and drafts its admission.",
    "retire": "Drafts that a key signs no more.",
    "admit-approver": "Drafts that a person may approve payouts.",
    "dismiss-approver": "Drafts that a person may approve no more.",
    "read": "Says what a draft resolves, and who has endorsed it.",
    "endorse": "Puts a custodian's signature under a draft.",
    "register": "Puts an endorsed draft into force.",
}
"""What custodians do, `tallystick keys …`, and what it is for: commands of the enclave's program."""


def main() -> None:
    """Becomes the program that the arguments ask for."""
    module, arguments = program_for(sys.argv[1:])
    become(module, arguments)


def program_for(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The module that the arguments are for, and what is left of them."""
    match arguments:
        case ["keys", command, *_] if command in CUSTODIANS:
            return PROGRAMS["enclave"], arguments[1:]
        case [program, *rest] if program in PROGRAMS:
            return PROGRAMS[program], rest
        case _:
            return CLI, arguments


def become(module: str, arguments: Sequence[str]) -> None:
    """Goes on as another of our programs."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])
