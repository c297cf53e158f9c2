"""The wiring: builds, from the settings, every part that the API and the worker are made of. Nothing else does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

import compliance
from api.database import engine
from api.enclave_pool import EnclavePool
from api.sender import Sender
from api.settings import BankSettings, Settings, SettingsInvalid, read_banks
from api.transactions import Clock, SystemClock, TestClock, Transactions, snapshots, transactions
from compliance.gate import Gate
from compliance.policy import Policies, load_policies
from enclave.client import EnclaveClient
from enclave.pinned_hashes import Pins, PinsUnreadable, read_pins
from ledger.store.tx import Tx
from partners.host.adapters import AdapterUnusable, load_adapter
from partners.host.bank import BankHost, Connection
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
    banks = {
        bank.name: _host(bank, transport, enclave, opened, wall_clock)
        for bank in read_banks(settings.banks_file)
    }
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


def _host(
    bank: BankSettings,
    transport: BankTransport,
    enclave: EnclaveClient,
    opened: Callable[[], AbstractContextManager[Tx]],
    wall_clock: WallClock,
) -> BankHost:
    connection = Connection(
        name=bank.name,
        base_url=bank.base_url,
        token=bank.token_file.read_text().strip(),
        payout_token=bank.payout_token_file.read_text().strip(),
        webhook_key_pem=bank.webhook_key_file.read_bytes(),
    )
    try:
        adapter = load_adapter(bank.adapter)
    except AdapterUnusable as error:
        raise SettingsInvalid(f"The connection {bank.name!r}: {error}") from error
    return BankHost(connection, adapter, transport, enclave, opened, wall_clock)
