"""A tree of files that a bank shares with us: the little that is asked of it, and the one on this machine.

Everything that goes wrong is an OSError, whatever carries the files; paths are relative and have "/" between names.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
_OLD: Final = os.O_RDONLY | os.O_NOFOLLOW  # whoever leaves a link there must not have us read through it


class Directory(Protocol):
    """Files by their paths. Raises: OSError from every method."""

    def sizes(self, path: str) -> Mapping[str, int]:
        """The files in a directory and how long they are, in bytes; other things are left out."""

    def read(self, path: str, *, bytes_max: int) -> bytes | None:
        """What a file holds, up to so much of it; None when there is none."""

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole, in place of any other, and does not come back before it is safe."""

    def rename(self, path: str, *, to: str) -> None:
        """Gives a file another name that no file has."""

    def remove(self, path: str) -> None:
        """Takes a file away."""


class LocalDirectory:
    """A directory of this machine, into which something else carries the bank's files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self, path: str) -> Mapping[str, int]:
        """The files in a directory and how long they are, in bytes."""
        with os.scandir(self._root / path) as found:
            return {
                one.name: one.stat(follow_symlinks=False).st_size
                for one in found
                if one.is_file(follow_symlinks=False)
            }

    def read(self, path: str, *, bytes_max: int) -> bytes | None:
        """What a file holds, up to so much of it; None when there is none."""
        try:
            with os.fdopen(os.open(self._root / path, _OLD), "rb") as file:
                return file.read(bytes_max)
        except FileNotFoundError:
            if not (self._root / path).parent.is_dir():
                raise
            return None

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole, in place of any other, and does not come back before it is safe."""
        with os.fdopen(os.open(self._root / path, _NEW, 0o640), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, path: str, *, to: str) -> None:
        """Gives a file another name, and does not come back before that is safe."""
        (self._root / path).rename(self._root / to)
        for parent in {(self._root / path).parent, (self._root / to).parent}:
            _make_safe(parent)

    def remove(self, path: str) -> None:
        """Takes a file away."""
        (self._root / path).unlink()


def _make_safe(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
