"""Settings: the one place that reads the environment. Read once at start, frozen, documented here.

Every variable begins with TALLYSTICK_. Secrets never stand in a variable: a setting names the file that holds one
(a database password stands in libpq's passfile). There is no default for a secret.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SERVED = Path(".tallystick/serve")
FILE = "settings.json"


class SettingsInvalid(Exception):
    """A setting is missing or makes no sense; the message names its variable."""


@dataclass(frozen=True, slots=True)
class BankSettings:
    """How one bank is reached: the adapter's name, its address, and the files with our token and its public key."""

    name: str
    adapter: str
    base_url: str
    token_file: Path
    payout_token_file: Path
    webhook_key_file: Path


@dataclass(frozen=True, slots=True)
class FileBankSettings:
    """How a bank is reached by files: `base_url` is the drop, `file:///srv/bank` or `sftp://us@bank.example/drop`.

    `notice_key_file` holds the bank's public key, with which it signs what it leaves. Without one, whoever can write to
    the directory is believed to be the bank; that has to be said, by null. Over SFTP, `host_key_file` holds the key by
    which the bank's server is known, and `login_key_file` our own.
    """

    name: str
    adapter: str
    base_url: str
    notice_key_file: Path | None
    host_key_file: Path | None
    login_key_file: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a process of ours is told.

    database_url       TALLYSTICK_DATABASE_URL        as the application role
    enclave_socket     TALLYSTICK_ENCLAVE_SOCKET      where the enclave listens
    enclave_pins_file  TALLYSTICK_ENCLAVE_PINS_FILE   JSON: its hashes; only a test clock does without
    public_url         TALLYSTICK_PUBLIC_URL          what callers see; the issuer and audience of access tokens
    banks_file         TALLYSTICK_BANKS_FILE          JSON: name -> `BankSettings` or `FileBankSettings`
    exports_directory  TALLYSTICK_EXPORTS_DIRECTORY   where audit packages are written
    clock              TALLYSTICK_CLOCK               "system", or "test": a clock in the database that the API can move
    token_lifetime_s   TALLYSTICK_TOKEN_LIFETIME_S    of access tokens, at most 3600
    worker_stall_s     TALLYSTICK_WORKER_STALL_S      a worker silent for so long is dead, and its jobs are taken over
    """

    database_url: str
    enclave_socket: Path
    enclave_pins_file: Path | None
    public_url: str
    banks_file: Path
    exports_directory: Path
    clock: str
    token_lifetime_s: int
    worker_stall_s: int


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; without any, those of the installation that `tallystick serve` made here.

    Raises: SettingsInvalid.
    """
    given = os.environ if environment is None else environment
    if "TALLYSTICK_DATABASE_URL" not in given and (SERVED / FILE).exists():
        given = {
            **json.loads((SERVED / FILE).read_text()),
            "TALLYSTICK_ENCLAVE_SOCKET": str(SERVED / "enclave.sock"),
        }
    clock = given.get("TALLYSTICK_CLOCK", "system")
    if clock not in {"system", "test"}:
        raise SettingsInvalid("TALLYSTICK_CLOCK is neither system nor test.")
    return Settings(
        database_url=_needed(given, "TALLYSTICK_DATABASE_URL"),
        enclave_socket=Path(_needed(given, "TALLYSTICK_ENCLAVE_SOCKET")),
        enclave_pins_file=_pins_file(given, clock),
        public_url=_needed(given, "TALLYSTICK_PUBLIC_URL").rstrip("/"),
        banks_file=Path(_needed(given, "TALLYSTICK_BANKS_FILE")),
        exports_directory=Path(_needed(given, "TALLYSTICK_EXPORTS_DIRECTORY")),
        clock=clock,
        token_lifetime_s=_whole(given, "TALLYSTICK_TOKEN_LIFETIME_S", default=900, most=3600),
        worker_stall_s=_whole(given, "TALLYSTICK_WORKER_STALL_S", default=30, most=3600),
    )


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """A PostgreSQL that somebody else runs, as each of our roles reaches it.

    owner     TALLYSTICK_OWNER_DATABASE_URL    upgrades the schema, and may create roles
    app       TALLYSTICK_DATABASE_URL
    enclave   TALLYSTICK_ENCLAVE_DATABASE_URL  reads what it is asked to sign
    custodian TALLYSTICK_CUSTODIAN_DATABASE_URL  registers what the custodians resolved about keys
    """

    owner: str
    app: str
    enclave: str
    custodian: str


def read_database_urls(environment: Mapping[str, str] | None = None) -> DatabaseUrls | None:
    """The database that `tallystick serve` is to use, or None for the embedded one. Raises: SettingsInvalid."""
    given = os.environ if environment is None else environment
    if not given.get("TALLYSTICK_DATABASE_URL"):
        return None
    return DatabaseUrls(
        owner=_needed(given, "TALLYSTICK_OWNER_DATABASE_URL"),
        app=_needed(given, "TALLYSTICK_DATABASE_URL"),
        enclave=_needed(given, "TALLYSTICK_ENCLAVE_DATABASE_URL"),
        custodian=_needed(given, "TALLYSTICK_CUSTODIAN_DATABASE_URL"),
    )


def read_banks(path: Path) -> tuple[BankSettings | FileBankSettings, ...]:
    """The banks that this installation reaches. Raises: SettingsInvalid."""
    try:
        listed = json.loads(path.read_text())
        return tuple(_bank(name, bank) for name, bank in listed.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsInvalid(f"TALLYSTICK_BANKS_FILE ({path}) cannot be read: {error!r}") from error


def _bank(name: str, bank: Mapping[str, str | None]) -> BankSettings | FileBankSettings:
    adapter, base_url = str(bank["adapter"]), str(bank["base_url"])
    if base_url.startswith(("file:", "sftp:")):
        return FileBankSettings(
            name=name,
            adapter=adapter,
            base_url=base_url,
            notice_key_file=_path(bank["notice_key_file"]),
            host_key_file=_path(bank.get("host_key_file")),
            login_key_file=_path(bank.get("login_key_file")),
        )
    return BankSettings(
        name=name,
        adapter=adapter,
        base_url=base_url,
        token_file=Path(str(bank["token_file"])),
        payout_token_file=Path(str(bank["payout_token_file"])),
        webhook_key_file=Path(str(bank["webhook_key_file"])),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _pins_file(given: Mapping[str, str], clock: str) -> Path | None:
    """Where the clock can be moved, nobody's money moves: there, and there only, any enclave will do."""
    if clock == "test" and not given.get("TALLYSTICK_ENCLAVE_PINS_FILE"):
        return None
    return Path(_needed(given, "TALLYSTICK_ENCLAVE_PINS_FILE"))


def _needed(given: Mapping[str, str], name: str) -> str:
    if not given.get(name):
        raise SettingsInvalid(f"{name} is not set. `tallystick serve` sets everything for development.")
    return given[name]


def _whole(given: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise SettingsInvalid(f"{name} is not a whole number from 1 to {most}.")
    return int(text)
