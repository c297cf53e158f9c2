"""The wiring: builds, from the settings, every part that the API and the worker are made of. Nothing else does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import sqlalchemy as sa

import compliance
from api.bank_parts import BankParts
from api.database import engine
from api.enclave_pool import EnclavePool
from api.sender import Sender
from api.settings import BankSettings, FileBankSettings, Settings, SettingsInvalid, read_banks
from api.transactions import Clock, SystemClock, TestClock, Transactions, snapshots, transactions
from compliance.gate import Gate
from compliance.policy import Policies, load_policies
from enclave.client import EnclaveClient
from enclave.pinned_hashes import Pins, PinsUnreadable, read_pins
from partners.host.bank import BankHost
from partners.host.inbox import Inbox
from partners.host.sending import AT_ONCE_MAX, PayoutSending
from partners.host.transport import BankTransport

WallClock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that handlers and jobs work with."""

    settings: Settings
    engine: sa.Engine
    transactions: Transactions
    snapshots: Transactions
    policies: Policies
    gate: Gate
    enclave: EnclaveClient
    transport: BankTransport
    banks: dict[str, BankHost]
    sendings: dict[str, PayoutSending]
    sender: Sender
    inboxes: tuple[Inbox, ...]
    wall_clock: WallClock
    pool: ThreadPoolExecutor
    enclaves: EnclavePool

    def close(self) -> None:
        """Hangs up everywhere."""
        self.pool.shutdown()
        self.enclaves.close()
        self.sender.close()
        self.transport.close()
        self.enclave.close()
        self.engine.dispose()


def system_time() -> datetime:
    """The machine's time, aware."""
    return datetime.now(UTC)


def build_parts(settings: Settings, *, pool_size: int = 8, wall_clock: WallClock = system_time) -> Parts:
    """Connects to everything that the settings name. Raises: SettingsInvalid."""
    pool = engine(settings.database_url, pool_size=pool_size)
    clock: Clock = TestClock() if settings.clock == "test" else SystemClock()
    opened = transactions(pool, clock)
    pins = read_enclave_pins(settings)
    enclave = EnclaveClient(settings.enclave_socket, pins=pins)
    transport = BankTransport()
    requests = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="bank")
    enclaves = EnclavePool(lambda: EnclaveClient(settings.enclave_socket, pins=pins))
    policies = load_policies(Path(compliance.__file__).parent / "policy.toml")
    banks, inboxes = _banks(settings, BankParts(transport, enclave, opened, wall_clock))
    return Parts(
        settings=settings,
        engine=pool,
        transactions=opened,
        snapshots=snapshots(pool, clock),
        policies=policies,
        gate=Gate(policies),
        enclave=enclave,
        transport=transport,
        banks=banks,
        sendings={name: PayoutSending(bank, enclaves.client, requests) for name, bank in banks.items()},
        sender=Sender(pool),
        inboxes=inboxes,
        wall_clock=wall_clock,
        pool=requests,
        enclaves=enclaves,
    )


def read_enclave_pins(settings: Settings) -> Pins | None:
    """The hashes by which the enclave is known, or None if any will do. Raises: SettingsInvalid."""
    if settings.enclave_pins_file is None:
        return None
    try:
        return read_pins(settings.enclave_pins_file)
    except PinsUnreadable as error:
        raise SettingsInvalid(f"TALLYSTICK_ENCLAVE_PINS_FILE cannot be read: {error}") from error


def _banks(settings: Settings, made_of: BankParts) -> tuple[dict[str, BankHost], tuple[Inbox, ...]]:
    hosts: dict[str, BankHost] = {}
    inboxes: list[Inbox] = []
    for bank in read_banks(settings.banks_file):
        match bank:
            case BankSettings():
                hosts[bank.name] = made_of.host(bank)
            case FileBankSettings():
                hosts[bank.name], inbox = made_of.by_files(bank)
                inboxes.append(inbox)
            case _:
                assert_never(bank)
    return hosts, tuple(inboxes)
