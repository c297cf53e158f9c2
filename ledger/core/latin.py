"""Any text in Latin letters, as near as ASCII comes. Pure: one text, one result, whatever the machine's locale."""

import unicodedata

from anyascii import anyascii


def latin(text: str) -> str:
    """The text in ASCII. Lone surrogates are no characters, and pictures are not spelled out: both are left out."""
    spoken = (character for character in text if unicodedata.category(character) not in {"Cs", "So"})
    return anyascii("".join(spoken))
