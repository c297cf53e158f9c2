"""A PIN on its way from a file descriptor to the token, and nowhere else.

Never from the command line or the environment: other processes of the same user can read both. Its text
appears in no representation, so that no traceback or log line can show it.
"""

import os
from dataclasses import dataclass, field

PIN_BYTES_MAX = 256


class PinUnreadable(Exception):
    """The descriptor holds no PIN."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A token's PIN. `reveal` is for the PKCS#11 call alone."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The PIN itself."""
        return self._text

    def __str__(self) -> str:
        return "***"


def read_pin(file_descriptor: int) -> Pin:
    """Read a PIN to the end of a descriptor, close it, and drop one trailing newline.

    Raises:
        PinUnreadable: not an open descriptor, empty, too long, or not UTF-8.
    """
    try:
        with os.fdopen(file_descriptor, "rb") as file:
            raw = file.read(PIN_BYTES_MAX + 1)
        text = raw.decode("utf-8").removesuffix("\n")
    except (OSError, UnicodeError) as error:
        raise PinUnreadable("cannot read a PIN from its file descriptor") from error
    if not text or len(raw) > PIN_BYTES_MAX:
        raise PinUnreadable("the file descriptor holds no PIN, or one that is too long")
    return Pin(text)
