"""The drop: where our files are put for a bank, and where its files are found, taken up and put away.

Below its root lie `out/` for the bank, `in/` for us, `archive/` for what was taken in, and `quarantine/` for what could
not be, with a `.why` beside it. Who sets up a connection makes the four.

What goes out appears under its name at once and whole: it is written under another name, made safe, and then renamed.
Before that nothing was sent, whatever fails; a renaming that fails may have happened all the same.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from partners.contract import Answer, NotSent, Request, Unknown
from partners.host.directories import Directory

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
SIGNATURE: Final = ".sig"
_STORED, _OTHERWISE_THERE = 201, 409
_NAME: Final = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+@=-]{0,199}")
_GROWING: Final = (
    ".part",
    ".filepart",
    ".tmp",
)  # what banks and their programs call a file that is not whole


@dataclass(frozen=True, slots=True)
class FileDrop:
    """The four directories of one connection. Raises: OSError from every method but `put`."""

    directory: Directory

    def put(self, name: str, body: bytes, *, signature: str) -> Answer | NotSent | Unknown:
        """Puts a file out for the bank, its signature beside it, once: the same again is there already."""
        path = f"out/{name}"
        try:
            there = self.directory.read(path, bytes_max=len(body) + 1)
            if there is not None:
                return Answer(_STORED if there == body else _OTHERWISE_THERE, (), b"")
            self.directory.write(f"{path}{SIGNATURE}", signature.encode("ascii"))
            self.directory.write(f"out/.{name}.part", body)
        except OSError as failure:
            return NotSent(f"the file could not be written ({type(failure).__name__})")
        try:
            self.directory.rename(f"out/.{name}.part", to=path)
        except OSError as failure:
            return Unknown(f"the file may have got its name or not ({type(failure).__name__})")
        return Answer(_STORED, (), b"")

    def waiting(self) -> Mapping[str, int]:
        """The files that lie there for us, with their sizes, but for those whose name says that they are not whole."""
        found = self.directory.sizes("in")
        return {
            name: found[name] for name in sorted(found) if _NAME.fullmatch(name) and not _is_growing(name)
        }

    def get(self, name: str) -> bytes | None:
        """What a file holds; None when somebody else has put it away."""
        return self.directory.read(f"in/{name}", bytes_max=FILE_BYTES_MAX + 1)

    def done(self, name: str, body: bytes) -> None:
        """Puts a file away that was taken in."""
        self._move(name, body, to="archive")

    def set_aside(self, name: str, body: bytes, *, why: str) -> None:
        """Puts a file where a person will look at it, with what is wrong with it."""
        self.directory.write(f"quarantine/{_kept_as(name, body)}.why", f"{why}\n".encode())
        self._move(name, body, to="quarantine")

    def _move(self, name: str, body: bytes, *, to: str) -> None:
        """The signature first: a file that is still there is taken up again, a signature alone is not."""
        signature = self.directory.read(f"in/{name}{SIGNATURE}", bytes_max=FILE_BYTES_MAX)
        if signature is not None:
            self._move_one(f"{name}{SIGNATURE}", to=f"{to}/{_kept_as(name, body)}{SIGNATURE}")
        self._move_one(name, to=f"{to}/{_kept_as(name, body)}")

    def _move_one(self, name: str, *, to: str) -> None:
        if self.directory.read(to, bytes_max=1) is None:
            self.directory.rename(f"in/{name}", to=to)
        else:  # its name says what it holds, so this is the same file once more
            self.directory.remove(f"in/{name}")


@dataclass(frozen=True, slots=True)
class FileWire:
    """A bank that is reached by files, where others are reached by requests."""

    drop: FileDrop

    def send(
        self,
        *,
        base_url: str,  # noqa: ARG002 - the drop knows where it is
        token: str,  # noqa: ARG002 - the directory knows who we are
        request: Request,
        request_id: str,  # noqa: ARG002 - the file's name says it
        request_time: int,  # noqa: ARG002 - nobody looks at it
        signed: Mapping[str, str],
    ) -> Answer | NotSent | Unknown:
        """Puts a request's body out under its path's name. There is nothing that can be asked in this way."""
        name = request.path.removeprefix("/")
        if request.method != "PUT" or request.body is None or not _NAME.fullmatch(name):
            return NotSent("this is no file that can be put out")
        return self.drop.put(name, request.body, signature=signed["DigitalSignature"])


def _is_growing(name: str) -> bool:
    return name.lower().endswith(_GROWING)


def _kept_as(name: str, body: bytes) -> str:
    """Banks use names again, also for other files."""
    return f"{hashlib.sha256(body).hexdigest()[:16]}-{name}"
