"""Documents that are never whole in memory: their bytes are made as they are read, and counted."""

from collections.abc import Iterable, Iterator


class Endless:
    """A stream over pieces of bytes; `given` says how many were asked for so far."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""
        self.given = 0

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        chunk, self._left = self._left[:size], self._left[size:]
        self.given += len(chunk)
        return chunk


def around(head: bytes, piece: bytes, tail: bytes, *, total: int) -> Iterator[bytes]:
    """A head, the same piece until there are so many bytes, and a tail."""
    yield head
    block = piece * max(1, 65536 // len(piece))
    for _ in range(total // len(block)):
        yield block
    yield tail
