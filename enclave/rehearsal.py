"""For the bench alone: how fast the token signs by itself, and many versions of a key on it.

A process of its own, with a login of its own: it shares nothing with an enclave that serves but the token. What it
makes is not used by anybody before custodians have admitted it.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from enclave.ceremony import make_versions
from enclave.custody import add_token_options, log_in_to
from enclave.drafts import admissions, drafted, write_draft
from enclave.keys import KeyAddress, Purpose
from enclave.pin import read_pin
from enclave.resolutions import register_of
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions

MESSAGE = b"x" * 400
"""About as long as the body of a payout."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code; whatever goes wrong is the bench's to see."""
    arguments = _parser().parse_args(argv)
    told: dict[str, float] = arguments.command(arguments)
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _sign(arguments: argparse.Namespace) -> dict[str, float]:
    """The bare loop: one key, one message, nothing else."""
    keys = log_in_to(arguments)
    address = KeyAddress(arguments.purpose, version=1)
    keys.open(address)
    begun = time.perf_counter()
    signatures = 0
    while time.perf_counter() - begun < arguments.seconds:
        keys.sign(address, MESSAGE)
        signatures += 1
    seconds = time.perf_counter() - begun
    keys.close()
    return {"signatures": signatures, "seconds": seconds}


def _versions(arguments: argparse.Namespace) -> dict[str, float]:
    """So many versions of a key more, and the draft that admits them."""
    with DatabaseResolutions(arguments.database_url) as resolutions:
        register = register_of(resolutions.all(), read_roster(arguments.custodians.read_bytes()))
    lines = make_versions(
        arguments.module,
        token_label=arguments.token_label,
        pin=read_pin(arguments.pin_fd),
        purpose=arguments.purpose,
        versions=range(2, arguments.count + 1),
        public_keys=arguments.public_keys,
    )
    now = datetime.now(UTC)
    items = admissions([line.identity for line in lines], register, not_before=now)
    write_draft(arguments.draft, drafted(items, register, at=now))
    return {"made": len(lines)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="enclave.rehearsal", description="For the bench.")
    commands = parser.add_subparsers(required=True)
    sign = commands.add_parser("sign")
    sign.add_argument("--seconds", type=float, required=True)
    sign.set_defaults(command=_sign)
    versions = commands.add_parser("versions")
    versions.add_argument("--count", type=int, required=True)
    versions.add_argument("--public-keys", type=Path, required=True)
    versions.add_argument("--draft", type=Path, required=True)
    versions.add_argument("--custodians", type=Path, required=True)
    versions.add_argument("--database-url", required=True)
    versions.set_defaults(command=_versions)
    for command in (sign, versions):
        add_token_options(command)
        command.add_argument("--purpose", type=Purpose, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
