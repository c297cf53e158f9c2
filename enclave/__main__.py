"""The enclave's command line: `serve`, `audit`, and what custodians do (`enclave.custody`).

Fails closed: whatever is wrong with the token, the log or the socket ends the process with one line on
standard error and exit code 2, before anything can be signed. PINs and, if wished, the database's address
come in through inherited file descriptors. Reads no environment; SoftHSM's module reads SOFTHSM2_CONF itself.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from enclave import custody
from enclave.backends.software import SoftwareKeys
from enclave.card_recipients import RecipientRefused, read_recipients
from enclave.card_vault import Recipient
from enclave.custody import ArgumentsRefused
from enclave.drafts import DraftedResolutions, DraftInvalid
from enclave.facts import FactsUnavailable, PayoutFacts
from enclave.hardening import Account, HardeningRefused, HardeningStep, confine, find_account, harden, insist
from enclave.inventory import own_package, read_code, read_libraries
from enclave.keyring import Custodians, Keyring, SelfMade, Sweep
from enclave.keys import KeyBackendFailure
from enclave.log import LogBroken, LogUnavailable, audit, read_log
from enclave.logbook import Logbook, Testimony
from enclave.measurement import Configuration, Measurement, MeasurementFailed, measure
from enclave.mirror import HeadsUnavailable, Mirror
from enclave.patience import Patience
from enclave.pin import PinUnreadable
from enclave.policy import APPROVALS_NEEDED, CARDS_PER_HOUR, PAYMENT_LIMIT_MINOR_MAX, Conditions, Limits
from enclave.refusals import refusal
from enclave.resolutions import ResolutionInvalid, ResolutionsUnavailable
from enclave.roster import Roster, RosterInvalid
from enclave.seen_heads import SeenHeads
from enclave.server import Server, SocketUnavailable
from enclave.store import DatabaseFacts, DatabaseHeads, DatabaseLeaves, DatabaseResolutions

EXIT_DONE = 0
EXIT_BROKEN = 1
EXIT_FAILED = 2
CUSTODIANS_MIN = 2
# More seconds than a date holds would end the process where it is least expected.
WHOLE_MAX = 10**12 - 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (
        ArgumentsRefused,
        DraftInvalid,
        HardeningRefused,
        HeadsUnavailable,
        KeyBackendFailure,
        LogBroken,
        LogUnavailable,
        MeasurementFailed,
        PinUnreadable,
        RecipientRefused,
        ResolutionInvalid,
        ResolutionsUnavailable,
        RosterInvalid,
        SocketUnavailable,
    ) as error:
        sys.stderr.write(f"enclave: {error}\n")
        return EXIT_FAILED


def _serve(arguments: argparse.Namespace) -> int:
    _refuse_software_keys_in_production(arguments)
    limits, conditions = _limits(arguments), _conditions(arguments)
    recipients = read_recipients(arguments.card_recipient)
    steps = harden(_account(arguments))
    if arguments.production:
        insist(steps)
    database_url = _database_url(arguments)
    roster, patience = _roster(arguments), Patience()
    with (
        Logbook.open(arguments.log, now=_now()) as logbook,
        DatabaseResolutions(database_url, patience=patience) as resolutions,
        closing(_keyring(arguments, roster, resolutions)) as keyring,
        DatabaseFacts(database_url, patience=patience) as facts,
        DatabaseLeaves(database_url, patience=patience) as leaves,
        DatabaseHeads(database_url, name=arguments.name, patience=patience) as heads,
        Server(
            socket_path=arguments.socket,
            keyring=keyring,
            facts=facts,
            leaves=leaves,
            logbook=logbook,
            clock=_now,
            limits=limits,
            conditions=conditions,
            approvers=lambda: keyring.register.approvers,
            mirror=Mirror(logbook, heads, accepted=arguments.accept_head),
            recipients=recipients,
            patience=patience,
            measurement=_measure(arguments, limits, conditions, roster, recipients),
            allowed_uids=arguments.allow_uid,
        ) as server,
    ):
        _connect(facts)
        steps += confine()
        _report(steps)
        _report_keys(server.sweep)
        if arguments.production:
            insist(steps)
        _serve_until_stopped(server, arguments.socket)
    return EXIT_DONE


def _refuse_software_keys_in_production(arguments: argparse.Namespace) -> None:
    if arguments.production and arguments.key_backend == "software":
        raise ArgumentsRefused("software keys are not for production")


def _account(arguments: argparse.Namespace) -> Account | None:
    if arguments.user is not None:
        return find_account(arguments.user)
    if arguments.production and os.geteuid() == 0:
        raise ArgumentsRefused("production does not run as root: name a user with --user")
    return None


def _connect(facts: PayoutFacts) -> None:
    """Open the first connection, and with it what the database's library loads, while nothing is forbidden yet."""
    # The enclave may start before its database: it connects when it is asked for a payout.
    with suppress(FactsUnavailable):
        facts.payouts([])


def _report(steps: Sequence[HardeningStep]) -> None:
    """One block, when it is complete: a start that fails says only why."""
    sys.stderr.write(
        "".join(f"enclave: {step.name} {'done' if step.done else 'NOT DONE'}\n" for step in steps)
    )
    sys.stderr.flush()


def _report_keys(sweep: Sweep) -> None:
    """What the start-up sweep found on the token and in the register."""
    lines = [f"{len(sweep.ready)} keys ready"]
    lines += [f"key {name} is on the token but was not admitted: not used" for name in sweep.unregistered]
    lines += [f"{reason}: not used" for reason in sweep.unusable.values()]
    lines += [f"{reason}: left out" for reason in sweep.left_out]
    sys.stderr.write("".join(f"enclave: {line}\n" for line in lines))
    sys.stderr.flush()


def _limits(arguments: argparse.Namespace) -> Limits:
    limits = Limits(
        per_payment_minor=arguments.per_payment_limit_minor,
        per_hour_minor=arguments.per_hour_limit_minor,
        per_day_minor=arguments.per_day_limit_minor,
        cards_per_hour=arguments.cards_per_hour,
    )
    if arguments.production and (limits.per_hour_minor is None or limits.per_day_minor is None):
        raise ArgumentsRefused("production needs --per-hour-limit-minor and --per-day-limit-minor")
    return limits


def _measure(
    arguments: argparse.Namespace,
    limits: Limits,
    conditions: Conditions,
    roster: Roster | None,
    recipients: Mapping[str, Recipient],
) -> Measurement:
    """What this process is made of; before anything of it can be asked for a signature."""
    software = arguments.key_backend == "software"
    module = None if software else arguments.module
    configuration = Configuration(
        backend=arguments.key_backend,
        module=None if module is None else str(module),
        token_label=None if software else arguments.token_label,
        name=arguments.name,
        user=arguments.user,
        production=arguments.production,
        allowed_uids=None if arguments.allow_uid is None else tuple(arguments.allow_uid),
        custodians=None if roster is None else roster.sha256,
        limits=limits,
        conditions=conditions,
        card_recipients={name: recipient.sha256 for name, recipient in recipients.items()},
    )
    return measure(read_code(own_package()), read_libraries(module), configuration)


def _conditions(arguments: argparse.Namespace) -> Conditions:
    """What is not said is not asked for, outside production."""
    flags = ("approvals_above_minor", "approvals_needed", "cooling_period_s", "screening_age_max_s")
    missing = [flag for flag in flags if getattr(arguments, flag) is None]
    if arguments.production and missing:
        raise ArgumentsRefused(f"production needs --{missing[0].replace('_', '-')}")
    return Conditions(
        approvals_above_minor=arguments.approvals_above_minor,
        approvals_needed=APPROVALS_NEEDED
        if arguments.approvals_needed is None
        else arguments.approvals_needed,
        cooling=_seconds(arguments.cooling_period_s),
        screening_age_max=_seconds(arguments.screening_age_max_s),
    )


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


def _serve_until_stopped(server: Server, socket_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    sys.stdout.write(f"enclave ready on {socket_path}\n")
    sys.stdout.flush()
    server.serve()


def _audit(arguments: argparse.Namespace) -> int:
    told = Testimony()
    try:
        head = audit(arguments.log, told.take)
    except LogBroken as error:
        sys.stderr.write(f"enclave: {error}\n")
        return EXIT_BROKEN
    sys.stdout.write(f"{head.count} records, head {head.hash}\n")
    sys.stdout.write("".join(f"{line}\n" for line in told.sums.lines()))
    return EXIT_DONE if arguments.database_url is None else _audit_mirror(arguments, told.heads)


def _audit_mirror(arguments: argparse.Namespace, seen: SeenHeads) -> int:
    with DatabaseHeads(custody.database_url(arguments.database_url), name=arguments.name) as heads:
        kept = heads.latest()
    sys.stdout.write(
        "the database has no head\n" if kept is None else f"the database has head {kept.count}\n"
    )
    why = seen.contradiction(kept, lambda place: read_log(arguments.log, since=place))
    if why is not None:
        sys.stderr.write(f"enclave: {refusal(why).detail}\n")
        return EXIT_BROKEN
    return EXIT_DONE


def _roster(arguments: argparse.Namespace) -> Roster | None:
    if arguments.key_backend == "software":
        return None
    if arguments.custodians is None:
        raise ArgumentsRefused("a PKCS#11 token needs --custodians: they say which of its keys may be used")
    roster = custody.roster(arguments.custodians)
    if arguments.production and roster.threshold < CUSTODIANS_MIN:
        raise ArgumentsRefused(f"production needs a roster whose threshold is {CUSTODIANS_MIN} at least")
    return roster


def _keyring(
    arguments: argparse.Namespace, roster: Roster | None, resolutions: DatabaseResolutions
) -> Keyring:
    if roster is None:
        keys = SoftwareKeys.generate()
        return Keyring(keys, SelfMade(keys.identities()))
    drafted = None if arguments.resolutions is None else DraftedResolutions(arguments.resolutions)
    return Keyring(custody.log_in_to(arguments), Custodians(drafted or resolutions, roster))


def _database_url(arguments: argparse.Namespace) -> str:
    if arguments.database_url is not None:
        url = custody.database_url(arguments.database_url)
        if arguments.production and "password" in conninfo_to_dict(url):
            # The command line of a process is everybody's to read.
            raise ArgumentsRefused("a database URL with a password comes in by --database-url-fd")
        return url
    try:
        with os.fdopen(arguments.database_url_fd, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeError) as error:
        raise ArgumentsRefused("cannot read the database URL from its file descriptor") from error


def _now() -> datetime:
    return datetime.now(UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="enclave", description="The keys, in a process of their own.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="sign, until SIGTERM"))
    custody.add_commands(commands)
    audit_parser = commands.add_parser("audit", help="verify the signing log")
    audit_parser.add_argument("--log", type=Path, required=True)
    audit_parser.add_argument("--database-url", help="hold it against the heads that are kept there as well")
    audit_parser.add_argument("--name", default="enclave", help="what the enclave is called there")
    audit_parser.set_defaults(command=_audit)
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True, help="the signing log, made if there is none")
    parser.add_argument("--key-backend", choices=("pkcs11", "software"), default="pkcs11")
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="the user to become before anything is opened; log, token and the socket's directory have to be this "
        "user's (only as root, and then needed in production)",
    )
    parser.add_argument("--production", action="store_true", help="refuse what is for development only")
    custody.add_token_options(parser, required=False)
    parser.add_argument("--custodians", type=Path, metavar="FILE", help="the roster of the custodians")
    parser.add_argument(
        "--resolutions", type=Path, metavar="DIR", help="read their resolutions here, not in the database"
    )
    database = parser.add_mutually_exclusive_group(required=True)
    database.add_argument("--database-url", help="the enclave's own read-only role")
    database.add_argument(
        "--database-url-fd", type=int, help="the same, from a descriptor: for URLs with a password"
    )
    parser.add_argument("--per-payment-limit-minor", type=int, default=PAYMENT_LIMIT_MINOR_MAX, metavar="N")
    for length in ("hour", "day"):
        parser.add_argument(
            f"--per-{length}-limit-minor",
            type=int,
            metavar="N",
            help=f"what may leave one account in the last {length}, in one currency (default: no limit)",
        )
    _add_conditions(parser)
    parser.add_argument(
        "--name", default="enclave", help="what it is called among the enclaves of one database"
    )
    parser.add_argument(
        "--accept-head",
        type=int,
        metavar="COUNT",
        help="go on although the log or the database was put back; COUNT is the database's last head (0: none)",
    )
    parser.add_argument(
        "--cards-per-hour",
        type=_at_least(0),
        default=CARDS_PER_HOUR,
        metavar="N",
        help=f"how many cards of one programme are taken in in the last hour (default: {CARDS_PER_HOUR})",
    )
    parser.add_argument(
        "--card-recipient",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a processor that cards may be forwarded to, and its public key, P-256 in PEM",
    )
    parser.add_argument(
        "--allow-uid",
        type=int,
        action="append",
        metavar="UID",
        help="answer exactly these users (default: the own one and root)",
    )
    parser.set_defaults(command=_serve)


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    for flag, least, meaning in (
        ("--approvals-above-minor", 0, "a payout of more than this needs approvals (default: none does)"),
        ("--approvals-needed", 1, f"by how many different people (default: {APPROVALS_NEEDED})"),
        ("--cooling-period-s", 0, "how long ago an account that is paid was set, and verified at all (default: any)"),
        ("--screening-age-max-s", 0, "how old a payout's screening may be (default: any age)"),
    ):  # fmt: skip
        parser.add_argument(flag, type=_at_least(least), metavar="N", help=meaning)


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text)
        if not least <= number <= WHOLE_MAX:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {WHOLE_MAX}")
        return number

    return whole


if __name__ == "__main__":
    sys.exit(main())
