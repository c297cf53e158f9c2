"""The wiring of the banks: for each connection of the settings its host, and its inbox if it is reached by files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.settings import BankSettings, FileBankSettings, SettingsInvalid
from api.transactions import Transactions
from enclave.client import EnclaveClient
from partners.contract import Adapter, Operation
from partners.host.adapters import AdapterUnusable, load_adapter
from partners.host.bank import BankHost, Connection
from partners.host.directories import Directory, LocalDirectory
from partners.host.files import FileDrop, FileWire
from partners.host.inbox import Inbox
from partners.host.transport import BankTransport


@dataclass(frozen=True, slots=True)
class BankParts:
    """What hosts and inboxes are made of."""

    transport: BankTransport
    enclave: EnclaveClient
    transactions: Transactions
    wall_clock: Callable[[], datetime]

    def host(self, bank: BankSettings) -> BankHost:
        """A bank that is reached over the network. Raises: SettingsInvalid."""
        connection = Connection(
            name=bank.name,
            base_url=bank.base_url,
            token=bank.token_file.read_text().strip(),
            payout_token=bank.payout_token_file.read_text().strip(),
            webhook_key_pem=bank.webhook_key_file.read_bytes(),
        )
        adapter = _adapter(bank)
        return BankHost(connection, adapter, self.transport, self.enclave, self.transactions, self.wall_clock)

    def by_files(self, bank: FileBankSettings) -> tuple[BankHost, Inbox]:
        """A bank that is reached by files. Raises: SettingsInvalid."""
        adapter = _adapter(bank)
        if Operation.FILES not in adapter.manifest().operations:
            raise SettingsInvalid(f"The connection {bank.name!r}: {bank.adapter} is not reached by files.")
        drop = FileDrop(_directory(bank))
        key_pem = None if bank.notice_key_file is None else bank.notice_key_file.read_bytes()
        # Without a key nothing that comes by another way than the directory is believed.
        connection = Connection(bank.name, bank.base_url, "", "", key_pem or b"")
        wire = FileWire(drop)
        host = BankHost(connection, adapter, wire, self.enclave, self.transactions, self.wall_clock)
        return host, Inbox(bank.name, adapter, drop, key_pem, self.transactions)


def _directory(bank: FileBankSettings) -> Directory:
    url = urlsplit(bank.base_url)
    if url.netloc or not url.path.startswith("/"):
        raise SettingsInvalid(f"The connection {bank.name!r}: a drop is file:///and/its/path.")
    return LocalDirectory(Path(unquote(url.path)))


def _adapter(bank: BankSettings | FileBankSettings) -> Adapter:
    try:
        return load_adapter(bank.adapter)
    except AdapterUnusable as error:
        raise SettingsInvalid(f"The connection {bank.name!r}: {error}") from error
