"""A directory at the bank, over SFTP: its host key pinned, our key the only way in.

One connection, opened when it is first needed and again after anything went wrong with it; one thing at a time is done
over it. Nothing is read from the machine's own SSH set-up: no agent, no known hosts, no configuration.

SFTP has no word for "make it safe" that every server knows: a file counts as written when the server says it is as
long as what was sent. Source: draft-ietf-secsh-filexfer-02 (the version 3 that is in use); RFC 4253.
"""

import base64
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import paramiko
from paramiko.pkey import UnknownKeyType

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class SftpAddress:
    """Where the bank's directory is, who we are there, and by which keys both sides are known."""

    host: str
    port: int
    user: str
    path: str
    host_key: paramiko.PKey
    login_key: paramiko.PKey


class SftpDirectory:
    """The files below a path at the bank. Raises: OSError from every method, whatever went wrong."""

    def __init__(self, address: SftpAddress, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._address = address
        self._answer_timeout_s = answer_timeout_s
        self._alone = threading.Lock()
        self._transport: paramiko.Transport | None = None
        self._open: paramiko.SFTPClient | None = None

    def sizes(self, path: str) -> Mapping[str, int]:
        """The files in a directory and how long they are, in bytes."""
        with self._session() as sftp:
            found = sftp.listdir_attr(self._at(path))
        return {one.filename: one.st_size or 0 for one in found if one.st_mode and stat.S_ISREG(one.st_mode)}

    def read(self, path: str, *, bytes_max: int) -> bytes | None:
        """What a file holds, up to so much of it; None when there is none."""
        with self._session() as sftp:
            try:
                with sftp.open(self._at(path), "rb") as file:
                    return bytes(file.read(bytes_max))
            except FileNotFoundError:
                sftp.stat(self._at(path.rpartition("/")[0]))  # or the whole directory is not there
                return None

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole, in place of any other, and has the server say how long it is."""
        with self._session() as sftp, sftp.open(self._at(path), "wb") as file:
            file.write(content)
            file.flush()
            if file.stat().st_size != len(content):
                raise OSError("the server did not keep the whole file")

    def rename(self, path: str, *, to: str) -> None:
        """Gives a file another name that no file has."""
        with self._session() as sftp:
            sftp.rename(self._at(path), self._at(to))

    def remove(self, path: str) -> None:
        """Takes a file away."""
        with self._session() as sftp:
            sftp.remove(self._at(path))

    def close(self) -> None:
        """Hangs up."""
        with self._alone:
            self._hang_up()

    def _at(self, path: str) -> str:
        return f"{self._address.path}/{path}"

    @contextmanager
    def _session(self) -> Iterator[paramiko.SFTPClient]:
        with self._alone:
            try:
                yield self._connected()
            except (paramiko.SSHException, EOFError) as failure:
                self._hang_up()
                raise OSError(f"the bank's server did not do it ({type(failure).__name__})") from failure
            except (TimeoutError, ConnectionError):
                self._hang_up()
                raise

    def _connected(self) -> paramiko.SFTPClient:
        if self._open is None or self._transport is None or not self._transport.is_active():
            self._hang_up()
            self._open = self._connect()
        return self._open

    def _connect(self) -> paramiko.SFTPClient:
        address = self._address
        wire = socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S)
        self._transport = transport = paramiko.Transport(wire)
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = CONNECT_TIMEOUT_S
        transport.connect(hostkey=address.host_key, username=address.user, pkey=address.login_key)
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None, "a transport that was just opened opens a session or raises"
        channel = sftp.get_channel()
        assert channel is not None, "an open session has a channel"
        channel.settimeout(self._answer_timeout_s)
        return sftp

    def _hang_up(self) -> None:
        if self._open is not None:
            self._open.close()
        if self._transport is not None:
            self._transport.close()
        self._open = self._transport = None


def read_host_key(text: str) -> paramiko.PKey:
    """A bank's host key in one line, as `ssh-keyscan` prints it or without the name before it. Raises: ValueError."""
    words = text.split()
    for kind, encoded in pairwise(words):
        if kind.startswith(("ssh-", "ecdsa-")):
            try:
                return paramiko.PKey.from_type_string(kind, base64.b64decode(encoded, validate=True))
            except (paramiko.SSHException, UnknownKeyType) as unknown:
                raise ValueError("this is no host key that is known here") from unknown
    raise ValueError("there is no host key in it")


def read_login_key(path: Path) -> paramiko.PKey:
    """Our private key. Raises: ValueError, OSError."""
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.SSHException, UnknownKeyType) as unknown:
        raise ValueError("this is no private key that is known here") from unknown
