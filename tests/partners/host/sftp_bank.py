"""A bank's SFTP server on a free port of this machine: one user, one key, one directory, and faults on demand."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

USER: Final = "tally"


@dataclass
class SftpBank:
    """What the server serves, whom it lets in, and what it does wrong: `drop_at` hangs up instead of doing a thing."""

    root: Path
    login_key: paramiko.PKey
    host_key: paramiko.PKey = field(default_factory=lambda: paramiko.RSAKey.generate(2048))
    drop_at: str = ""
    drop_after: str = ""
    swallow: bool = False
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    transports: list[paramiko.Transport] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def hang_up(self) -> None:
        for transport in self.transports:
            transport.close()
        self.transports.clear()

    def serve(self) -> None:
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:  # closed: the test is over
                return
            transport = paramiko.Transport(wire)
            transport.add_server_key(self.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self)
            try:
                transport.start_server(server=_Door(self))
                self.transports.append(transport)
            except (
                paramiko.SSHException,
                EOFError,
                OSError,
            ):  # a client hangs up on a server that is not the bank
                transport.close()


@contextmanager
def sftp_bank(root: Path, login_key: paramiko.PKey) -> Iterator[SftpBank]:
    """A server while the test lasts."""
    bank = SftpBank(root, login_key)
    thread = threading.Thread(target=bank.serve)
    thread.start()
    try:
        yield bank
    finally:
        bank.listener.shutdown(socket.SHUT_RDWR)
        bank.listener.close()
        thread.join(timeout=10)
        bank.hang_up()


class _Door(paramiko.ServerInterface):
    def __init__(self, bank: SftpBank) -> None:
        self._bank = bank

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if (username, key) == (USER, self._bank.login_key) else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class _File(paramiko.SFTPHandle):
    """An open file; where the bank swallows, half of what is written is lost."""

    def __init__(self, path: Path, flags: int, *, swallow: bool) -> None:
        super().__init__(flags)
        self._swallow = swallow
        self._path = path
        self._handle = os.open(path, flags, 0o600)

    def close(self) -> None:
        os.close(self._handle)
        super().close()

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._handle, length, offset)

    def write(self, offset: int, data: bytes) -> int:
        os.pwrite(self._handle, data[: len(data) // 2] if self._swallow else data, offset)
        return paramiko.SFTP_OK

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(self._path.stat())


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, bank: SftpBank) -> None:
        super().__init__(server)
        self._bank = bank

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(file.stat(), file.name) for file in self._at(path).iterdir()
            ]
        except OSError as failure:
            return self._said(failure)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
        except OSError as failure:
            return self._said(failure)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        try:
            return _File(self._at(path), flags, swallow=self._bank.swallow)
        except OSError as failure:
            return self._said(failure)

    def rename(self, oldpath: str, newpath: str) -> int:
        if self._bank.drop_at == "rename":
            self._bank.hang_up()
            return paramiko.SFTP_FAILURE
        if self._at(newpath).exists():
            return paramiko.SFTP_FAILURE
        self._at(oldpath).rename(self._at(newpath))
        if self._bank.drop_after == "rename":
            self._bank.hang_up()
        return paramiko.SFTP_OK

    def remove(self, path: str) -> int:
        self._at(path).unlink()
        return paramiko.SFTP_OK

    def _at(self, path: str) -> Path:
        return self._bank.root / self.canonicalize(path).lstrip("/").removeprefix("drop/")

    def _said(self, failure: OSError) -> int:
        return paramiko.SFTPServer.convert_errno(failure.errno or 0)
