"""A drop on this machine, and one whose directory fails where a test says."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from partners.host.directories import Directory, LocalDirectory

PARTS = ("out", "in", "archive", "quarantine")


def make_drop(root: Path) -> Path:
    """The four directories."""
    for part in PARTS:
        (root / part).mkdir(parents=True)
    return root


def lies_in(root: Path, part: str) -> dict[str, bytes]:
    """Everything in one of them."""
    return {file.name: file.read_bytes() for file in (root / part).iterdir()}


class Killed(BaseException):
    """The process is no more."""


@dataclass(slots=True)
class Failing:
    """A directory whose method `at` fails for paths that begin so: before it does anything, or after (`late`)."""

    directory: Directory
    at: str
    beginning: str = ""
    late: bool = False
    failure: BaseException | None = None

    def sizes(self, path: str) -> Mapping[str, int]:
        self._fail("sizes", path)
        return self.directory.sizes(path)

    def read(self, path: str, *, bytes_max: int) -> bytes | None:
        self._fail("read", path)
        return self.directory.read(path, bytes_max=bytes_max)

    def write(self, path: str, content: bytes) -> None:
        if self._hits("write", path):
            self.directory.write(path, content[: len(content) // 2])  # as a full disk takes it
        self._fail("write", path)
        self.directory.write(path, content)

    def rename(self, path: str, *, to: str) -> None:
        if self.late and self._hits("rename", path):
            self.directory.rename(path, to=to)
        self._fail("rename", path)
        self.directory.rename(path, to=to)

    def remove(self, path: str) -> None:
        self._fail("remove", path)
        self.directory.remove(path)

    def _hits(self, method: str, path: str) -> bool:
        return method == self.at and path.startswith(self.beginning)

    def _fail(self, method: str, path: str) -> None:
        if self._hits(method, path):
            raise self.failure or OSError(errno.ENOSPC, "no space left")


def local(root: Path) -> LocalDirectory:
    """The directory of a drop."""
    return LocalDirectory(root)
