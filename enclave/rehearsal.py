"""For the bench alone: how fast the token signs by itself, how fast access tokens are issued, and many key versions.

A process of its own, with a login of its own: it shares nothing with an enclave that serves but the token. What it
makes is not used by anybody before custodians have admitted it.
"""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from enclave.ceremony import make_versions
from enclave.custody import add_token_options, log_in_to
from enclave.drafts import admissions, drafted, write_draft
from enclave.keys import KeyAddress, Purpose
from enclave.pin import read_pin
from enclave.resolutions import register_of
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions
from enclave.tokens import AccessClaims, issue_access_token

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
    with closing(log_in_to(arguments)) as keys:
        address = KeyAddress(arguments.purpose, version=1)
        keys.open(address)
        return _counted(lambda: keys.sign(address, MESSAGE), arguments.seconds)


def _issue(arguments: argparse.Namespace) -> dict[str, float]:
    """Access tokens, one after the other, each by python-jose with the key in the token."""
    with closing(log_in_to(arguments)) as keys:
        address = KeyAddress(Purpose.ACCESS_TOKEN, version=1)
        keys.open(address)
        return _counted(
            lambda: issue_access_token(
                _claims(), key_id=str(address), sign=lambda message: keys.sign(address, message)
            ),
            arguments.seconds,
        )


def _counted(work: Callable[[], object], seconds_max: float) -> dict[str, float]:
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds_max:
        work()
        count += 1
    return {"count": count, "seconds": time.perf_counter() - begun}


def _claims() -> AccessClaims:
    now = datetime.now(UTC)
    return AccessClaims(
        client_id="cli_rehearsal",
        programme_id="prg_rehearsal",
        scopes=("payments", "reports"),
        audience="https://rehearsal.example",
        issuer="https://rehearsal.example",
        issued_at=now,
        expires_at=now + timedelta(minutes=15),
        token_id=secrets.token_hex(16),
    )


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
    issue = commands.add_parser("issue")
    issue.add_argument("--seconds", type=float, required=True)
    issue.set_defaults(command=_issue)
    versions = commands.add_parser("versions")
    versions.add_argument("--count", type=int, required=True)
    versions.add_argument("--public-keys", type=Path, required=True)
    versions.add_argument("--draft", type=Path, required=True)
    versions.add_argument("--custodians", type=Path, required=True)
    versions.add_argument("--database-url", required=True)
    versions.set_defaults(command=_versions)
    for command in (sign, issue, versions):
        add_token_options(command)
        command.add_argument("--purpose", type=Purpose, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
