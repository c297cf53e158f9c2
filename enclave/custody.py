"""What custodians do at the command line: hold the ceremony, rotate, retire, admit approvers; read, endorse, register.

Nothing here takes effect by itself: each command that decides something writes a draft, which counts once enough
custodians have endorsed it and it was registered. Keys are made here, in a process that does not serve.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from enclave.backends.pkcs11 import Pkcs11Keys
from enclave.ceremony import CeremonyLine, Deed, hold_ceremony, make_versions
from enclave.drafts import (
    DraftedResolutions,
    admissions,
    drafted,
    endorse,
    read_draft,
    signature_of,
    write_draft,
)
from enclave.hardening import harden
from enclave.keys import KeyAddress, Purpose, algorithm_of, fingerprint
from enclave.pin import read_pin
from enclave.registration import put_in_force
from enclave.resolutions import (
    EMPTY,
    AdmitApprover,
    AdmitKey,
    DismissApprover,
    Item,
    Register,
    RetireKey,
    SignedResolution,
    instant,
    instant_text,
    read_document,
    register_of,
    signed_text,
)
from enclave.roster import Roster, RosterInvalid, p256_key, read_roster
from enclave.store import DatabaseResolutions

EXIT_DONE = 0
_SPELLING = "a small letter and then small letters, digits, dots and dashes; a programme as its id"
VERIFIERS_FIRST = timedelta(minutes=2)
"""How long a rotated key waits by default, so that whoever checks its signatures has it before it signs."""


class ArgumentsRefused(Exception):
    """The arguments do not go together."""


def roster(path: Path) -> Roster:
    """The roster in a file. Raises: RosterInvalid."""
    try:
        return read_roster(path.read_bytes())
    except OSError as error:
        raise RosterInvalid(f"cannot read {path}: {error.strerror}") from error


def database_url(said: str) -> str:
    """The address of a database, if it is one. Raises: ArgumentsRefused."""
    try:
        conninfo_to_dict(said)
    except (psycopg.ProgrammingError, UnicodeError):
        # Not chained, and not quoted: the text may hold a password.
        raise ArgumentsRefused(
            "cannot read the database URL: it is written postgresql://ROLE@HOST:PORT/DATABASE"
        ) from None
    return said


def log_in_to(arguments: argparse.Namespace) -> Pkcs11Keys:
    """The token that the options name. Raises: ArgumentsRefused, PinUnreadable, KeyBackendFailure."""
    label, serial = arguments.token_label, arguments.token_serial
    if arguments.module is None or arguments.pin_fd is None or (label is None and serial is None):
        raise ArgumentsRefused(
            "a PKCS#11 token needs --module, --token-label or --token-serial, and --pin-fd"
        )
    pin = read_pin(arguments.pin_fd)
    return Pkcs11Keys.log_in_to(arguments.module, token_label=label, pin=pin, token_serial=serial)


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the custodians' commands to the enclave's."""
    _add_ceremony(
        commands.add_parser("ceremony", help="make the token and the first keys, and draft their admission")
    )
    _add_rotate(commands.add_parser("rotate", help="make the next version of a key, and draft its admission"))
    _add_retire(commands.add_parser("retire", help="draft that a key signs no more"))
    _add_admit(commands.add_parser("admit-approver", help="draft that a person may approve payouts"))
    _add_dismiss(commands.add_parser("dismiss-approver", help="draft that a person may approve no more"))
    _add_read(commands.add_parser("read", help="say what a draft resolves, and who has endorsed it"))
    _add_endorse(commands.add_parser("endorse", help="put a custodian's signature under a draft"))
    _add_register(commands.add_parser("register", help="put an endorsed draft into force"))


def add_token_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds the options that name a token."""
    parser.add_argument("--module", type=Path, required=required, help="the PKCS#11 module")
    parser.add_argument("--token-label", required=required, help="which of the module's tokens")
    parser.add_argument("--token-serial", help="its serial number: alone, or to tell two of one label apart")
    parser.add_argument(
        "--pin-fd", type=int, required=required, help="a descriptor to read the user's PIN from"
    )


def _ceremony(arguments: argparse.Namespace) -> int:
    harden()
    register = _register(arguments)
    lines = hold_ceremony(
        arguments.module,
        token_label=arguments.token_label,
        pin=read_pin(arguments.pin_fd),
        so_pin=read_pin(arguments.so_pin_fd),
        public_keys=arguments.public_keys,
        token_serial=arguments.token_serial,
    )
    _write(_table(lines))
    items = admissions([line.identity for line in lines], register, not_before=datetime.now(UTC))
    return _draft(arguments, items, register, at_any_time=True)


def _rotate(arguments: argparse.Namespace) -> int:
    harden()
    register = _register(arguments)
    purpose: Purpose = arguments.purpose
    versions = [address.version for address in register.keys if address.purpose is purpose]
    if not versions:
        raise ArgumentsRefused(f"no key for {purpose} was admitted: hold the key ceremony first")
    lines = make_versions(
        arguments.module,
        token_label=arguments.token_label,
        pin=read_pin(arguments.pin_fd),
        purpose=purpose,
        versions=[max(versions) + 1],
        public_keys=arguments.public_keys,
        token_serial=arguments.token_serial,
    )
    _write(_table(lines))
    not_before = arguments.not_before or datetime.now(UTC) + VERIFIERS_FIRST
    items = admissions([line.identity for line in lines], register, not_before=not_before)
    return _draft(arguments, items, register, at_any_time=arguments.not_before is None)


def _retire(arguments: argparse.Namespace) -> int:
    item = RetireKey(
        key_id=arguments.key,
        sign_until=instant_text(arguments.sign_until or datetime.now(UTC)),
        verify_until=None if arguments.verify_until is None else instant_text(arguments.verify_until),
    )
    return _draft(arguments, [item], _register(arguments))


def _admit(arguments: argparse.Namespace) -> int:
    try:
        pem = arguments.key.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        raise ArgumentsRefused(f"cannot read {arguments.key} ({type(error).__name__})") from error
    programmes = None if arguments.programme is None else tuple(arguments.programme)
    try:
        item = AdmitApprover(approver_id=arguments.id, public_key_pem=pem, programme_ids=programmes)
    except ValidationError as error:
        raise ArgumentsRefused(f"--id or --programme is not spelt as {_SPELLING}") from error
    return _draft(arguments, [item], _register(arguments))


def _dismiss(arguments: argparse.Namespace) -> int:
    try:
        item = DismissApprover(approver_id=arguments.id)
    except ValidationError as error:
        raise ArgumentsRefused(f"--id is not spelt as {_SPELLING}") from error
    return _draft(arguments, [item], _register(arguments))


def _read(arguments: argparse.Namespace) -> int:
    draft = read_draft(arguments.draft)
    resolution = read_document(draft.document)
    lines = [f"resolution {resolution.number}, drafted {resolution.resolved_at}"]
    lines += [_said(item) for item in resolution.items]
    lines += [f"signed by {name} (checked when it is registered)" for name in draft.signatures]
    if arguments.signed_text is not None:
        try:
            arguments.signed_text.write_bytes(signed_text(draft.document))
        except OSError as error:
            raise ArgumentsRefused(f"cannot write {arguments.signed_text}: {error.strerror}") from error
        lines.append(f"the exact text to sign is in {arguments.signed_text}")
    _write("\n".join(lines) + "\n")
    return EXIT_DONE


def _endorse(arguments: argparse.Namespace) -> int:
    if (arguments.key is None) is (arguments.signature is None):
        raise ArgumentsRefused("give --key to sign here, or --signature with one that was made elsewhere")
    custodian, members = arguments.custodian, roster(arguments.custodians)
    if custodian not in members.custodians:
        raise ArgumentsRefused(
            f"the roster has no custodian of that name, only {', '.join(members.custodians)}"
        )
    draft = read_draft(arguments.draft)
    # What is no resolution is not worth a signature, and should not get one.
    read_document(draft.document)
    signature = _signature(arguments, draft)
    if not members.endorsers(signed_text(draft.document), {custodian: signature}):
        raise ArgumentsRefused(
            f"this is not signed by the key that the roster has for {custodian}: it would not count"
        )
    signed = endorse(arguments.draft, custodian, signature)
    _write(f"signed by {', '.join(signed.signatures)}\n")
    return EXIT_DONE


def _signature(arguments: argparse.Namespace, draft: SignedResolution) -> bytes:
    try:
        if arguments.signature is not None:
            made_elsewhere: bytes = arguments.signature.read_bytes()
            return made_elsewhere
        passphrase = None if arguments.passphrase_fd is None else read_pin(arguments.passphrase_fd)
        return signature_of(
            draft,
            arguments.key.read_bytes(),
            passphrase=None if passphrase is None else passphrase.reveal().encode(),
        )
    except OSError as error:
        raise ArgumentsRefused(f"cannot read {error.filename}: {error.strerror}") from error


def _register_draft(arguments: argparse.Namespace) -> int:
    draft = read_draft(arguments.draft)
    with DatabaseResolutions(database_url(arguments.database_url)) as resolutions:
        register = put_in_force(resolutions, draft, roster(arguments.custodians))
    _write(f"resolution {register.head.number} is in force; a serving enclave takes it in by `keys load`\n")
    return EXIT_DONE


def _register(arguments: argparse.Namespace) -> Register:
    """What holds now; a ceremony may be the first, of everything else something was resolved before."""
    if arguments.resolutions is None and arguments.database_url is None:
        if arguments.command is _ceremony:
            return EMPTY
        raise ArgumentsRefused("say where the resolutions are: --database-url or --resolutions")
    if arguments.custodians is None:
        raise ArgumentsRefused("resolutions are read with the --custodians who signed them")
    members = roster(arguments.custodians)
    if arguments.resolutions is not None:
        register = register_of(DraftedResolutions(arguments.resolutions).all(), members)
    else:
        with DatabaseResolutions(database_url(arguments.database_url)) as resolutions:
            register = register_of(resolutions.all(), members)
    # Drafted is what follows those that count: whoever named the wrong roster should see it here.
    sys.stderr.write("".join(f"enclave: {reason}: left out\n" for reason in register.left_out))
    return register


def _draft(
    arguments: argparse.Namespace, items: Sequence[Item], register: Register, *, at_any_time: bool = False
) -> int:
    if not items:
        _write("nothing is left to resolve\n")
        return EXIT_DONE
    draft = drafted(items, register, at=datetime.now(UTC))
    write_draft(arguments.draft, draft, at_any_time=at_any_time)
    _write(f"drafted in {arguments.draft}: to be read, endorsed by enough custodians, and registered\n")
    return EXIT_DONE


def _said(item: AdmitKey | RetireKey | AdmitApprover | DismissApprover) -> str:
    match item:
        case AdmitKey():
            until = "" if item.sign_until is None else f" until {item.sign_until}"
            believed = "" if item.verify_until is None else f", believed until {item.verify_until}"
            key = f"{item.key_id} ({item.algorithm}), SHA-256 {item.sha256}"
            return f"admit key {key}, from {item.not_before}{until}{believed}"
        case RetireKey():
            believed = "" if item.verify_until is None else f", believed until {item.verify_until}"
            return f"retire key {item.key_id} from {item.sign_until}{believed}"
        case AdmitApprover():
            of = "all programmes" if item.programme_ids is None else ", ".join(item.programme_ids)
            return f"admit approver {item.approver_id}, SHA-256 {_fingerprint(item.public_key_pem)}, for {of}"
        case DismissApprover():
            return f"dismiss approver {item.approver_id}"


def _fingerprint(public_key_pem: str) -> str:
    return "of no P-256 key" if p256_key(public_key_pem) is None else fingerprint(public_key_pem)


def _table(lines: Sequence[CeremonyLine]) -> str:
    rows = [("key", "algorithm", "what was done", "SHA-256", "public key")]
    rows += [
        (
            str(line.identity.address),
            str(algorithm_of(line.identity.address.purpose)),
            str(line.deed),
            line.identity.sha256,
            str(line.public_key_file or "(a secret key)"),
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    made = sum(line.deed is not Deed.WAS_THERE for line in lines)
    outcome = f"keys made: {made}" if made else "nothing new was made: every key was there"
    return "\n".join([*cells, outcome]) + "\n"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _add_ceremony(parser: argparse.ArgumentParser) -> None:
    add_token_options(parser)
    parser.add_argument("--so-pin-fd", type=int, required=True, help="and the security officer's")
    _add_public_keys(parser)
    _add_drafting(parser)
    parser.set_defaults(command=_ceremony)


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    add_token_options(parser)
    parser.add_argument("--purpose", type=Purpose, choices=list(Purpose), required=True)
    parser.add_argument(
        "--not-before", type=instant, metavar="TIME", help="when it begins to sign (default: in two minutes)"
    )
    _add_public_keys(parser)
    _add_drafting(parser)
    parser.set_defaults(command=_rotate)


def _add_retire(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=_key_id, required=True, metavar="PURPOSE/vN")
    parser.add_argument("--sign-until", type=instant, metavar="TIME", help="default: now")
    parser.add_argument(
        "--verify-until", type=instant, metavar="TIME", help="default: as long as it was admitted"
    )
    _add_drafting(parser)
    parser.set_defaults(command=_retire)


def _add_admit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", required=True, help="what the approver is called")
    parser.add_argument("--key", type=Path, required=True, help="the approver's public key, P-256 in PEM")
    parser.add_argument(
        "--programme", action="append", metavar="ID", help="a programme to approve for (default: all)"
    )
    _add_drafting(parser)
    parser.set_defaults(command=_admit)


def _add_dismiss(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", required=True, help="what the approver is called")
    _add_drafting(parser)
    parser.set_defaults(command=_dismiss)


def _add_read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", type=Path, required=True)
    parser.add_argument(
        "--signed-text", type=Path, metavar="FILE", help="write the exact text there, to sign it elsewhere"
    )
    parser.set_defaults(command=_read)


def _add_endorse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", type=Path, required=True)
    parser.add_argument("--custodians", type=Path, required=True, metavar="FILE", help="the roster")
    parser.add_argument("--custodian", required=True, help="whose signature it is, as the roster calls him")
    parser.add_argument("--key", type=Path, help="the custodian's private key, P-256 in PEM")
    parser.add_argument("--passphrase-fd", type=int, help="a descriptor to read the key's passphrase from")
    parser.add_argument("--signature", type=Path, help="a signature that was made elsewhere, in DER")
    parser.set_defaults(command=_endorse)


def _add_register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", type=Path, required=True)
    parser.add_argument("--custodians", type=Path, required=True, metavar="FILE", help="the roster")
    parser.add_argument("--database-url", required=True, help="by a role that may add resolutions")
    parser.set_defaults(command=_register_draft)


def _add_public_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--public-keys", type=Path, required=True, metavar="DIR", help="where to write the public halves"
    )


def _add_drafting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draft", type=Path, required=True, metavar="FILE", help="the draft to write")
    parser.add_argument("--custodians", type=Path, metavar="FILE", help="the roster")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--resolutions", type=Path, metavar="DIR", help="what was resolved before, as endorsed drafts"
    )
    source.add_argument("--database-url", help="what was resolved before, in the database")


def _key_id(text: str) -> str:
    return str(KeyAddress.parse(text))
