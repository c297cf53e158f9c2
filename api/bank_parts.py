"""The wiring of the banks: for each connection of the settings its host, and its inbox if it is reached by files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from api.settings import BankSettings, FileBankSettings, SettingsInvalid
from api.transactions import Transactions
from enclave.client import EnclaveClient
from partners.contract import Adapter, Operation
from partners.host.adapters import AdapterUnusable, load_adapter
from partners.host.bank import BankHost, Connection
from partners.host.directories import Directory, LocalDirectory
from partners.host.files import FileDrop, FileWire
from partners.host.inbox import Inbox
from partners.host.sftp import SftpAddress, SftpDirectory, read_host_key, read_login_key
from partners.host.transport import BankTransport

SFTP_PORT: Final = 22


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
        adapter, drop = file_drop(bank)
        key_pem = None if bank.notice_key_file is None else bank.notice_key_file.read_bytes()
        # Without a key nothing that comes by another way than the directory is believed.
        connection = Connection(bank.name, bank.base_url, "", "", key_pem or b"")
        wire = FileWire(drop)
        host = BankHost(connection, adapter, wire, self.enclave, self.transactions, self.wall_clock)
        return host, Inbox(bank.name, adapter, drop, key_pem, self.transactions)


def file_drop(bank: FileBankSettings) -> tuple[Adapter, FileDrop]:
    """The adapter and the drop of a connection. Raises: SettingsInvalid."""
    adapter = _adapter(bank)
    if Operation.FILES not in adapter.manifest().operations:
        raise SettingsInvalid(f"The connection {bank.name!r}: {bank.adapter} is not reached by files.")
    return adapter, FileDrop(_directory(bank))


def _directory(bank: FileBankSettings) -> Directory:
    url = urlsplit(bank.base_url)
    if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return LocalDirectory(Path(unquote(url.path)))
    try:
        return SftpDirectory(_address(bank, url))
    except (OSError, ValueError, TypeError) as error:
        raise SettingsInvalid(f"The connection {bank.name!r} cannot be used: {error!r}") from error


def _address(bank: FileBankSettings, url: SplitResult) -> SftpAddress:
    """Raises: ValueError when something is missing without which nobody knows who is at the other end."""
    if url.scheme != "sftp" or not url.hostname or not url.username or url.password is not None:
        raise ValueError("a drop is file:///its/path or sftp://user@host:port/its/path, without a password")
    if bank.host_key_file is None or bank.login_key_file is None:
        raise ValueError("over SFTP, host_key_file and login_key_file are needed")
    return SftpAddress(
        host=url.hostname,
        port=url.port or SFTP_PORT,
        user=unquote(url.username),
        path=unquote(url.path),
        host_key=read_host_key(bank.host_key_file.read_text()),
        login_key=read_login_key(bank.login_key_file),
    )


def _adapter(bank: BankSettings | FileBankSettings) -> Adapter:
    try:
        return load_adapter(bank.adapter)
    except AdapterUnusable as error:
        raise SettingsInvalid(f"The connection {bank.name!r}: {error}") from error
