"""Opening XML that a bank sent: elements come out one by one as they end, or Unreadable says at which line not.

One door for every message. Nothing is fetched, no entity is expanded, a document with a DTD is refused, and so
is an encoding that banks do not use. Memory is bounded whatever comes: by the bytes of the whole, by the bytes
between two elements that the reader lets go of, and by libxml2's own limits on depth and text.

What a reader takes out of a document that turns out to be broken later is not to be believed: the fault is
raised where it stands, after the elements before it. Errors say where, never what.
Source: XML 1.0; ISO 20022 (a message is one `Document` in the namespace of its type and version).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Protocol

from lxml import etree

from partners.contract import Unreadable

BYTES_MAX: Final = 256 * 1024 * 1024  # some 250,000 entries
# A batch of some 8,000 payments in one entry; in memory, a tree of tiny elements takes 40 times that.
PIECE_BYTES_MAX: Final = 8 * 1024 * 1024

_CHUNK_BYTES: Final = 64 * 1024
_TAIL_BYTES: Final = 256
_WHOLE = re.compile(rb"</(?:[\w.-]+:)?Document\s*>\s*\Z")
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_ENCODINGS: Final = frozenset(
    {
        "UTF-8",
        "UTF-16",
        "UTF-16LE",
        "UTF-16BE",
        "ASCII",
        "US-ASCII",
        "ISO-8859-1",
        "ISO-8859-15",
        "WINDOWS-1252",
    }
)


class Source(Protocol):
    """Anything that gives its bytes bit by bit, and `b""` at its end."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read. Units: bytes."""

    bytes_max: int = BYTES_MAX
    piece_bytes_max: int = PIECE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Kind:
    """The messages that a reader reads: their names, e.g. camt.053, and a range of versions."""

    names: tuple[str, ...]
    first: int
    last: int

    def find(self, namespace: str) -> tuple[str, int] | None:
        """The name and version of the message that a namespace is for, if it is one of these."""
        for name in self.names:
            version = namespace.removeprefix(f"{_NAMESPACE}{name}.001.")
            if len(version) == 2 and version.isascii() and version.isdigit():
                return (name, int(version)) if self.first <= int(version) <= self.last else None
        return None

    def __str__(self) -> str:
        names = " or ".join(part for part in (", ".join(self.names[:-1]), self.names[-1]) if part)
        return f"{names} of version {self.first:02} to {self.last:02}"


class XmlStream:
    """A document as it is read.

    `name` and `version` say which message it is, from the first element on.
    """

    def __init__(
        self, source: Source | bytes, kind: Kind, *, tags: Sequence[str], limits: Limits | None = None
    ) -> None:
        self._source = _Bounded(BytesIO(source) if isinstance(source, bytes) else source, limits or Limits())
        self._kind = kind
        self._tags = ("{*}Document", *(f"{{*}}{tag}" for tag in tags))
        self.name = ""
        self.version = 0
        self.namespace = ""

    def __iter__(self) -> Iterator[tuple[str, etree._Element]]:
        """The root at its start, and of every tag asked for its start and its end.

        Raises: Unreadable for anything that is not one whole document of the kind, and for one past the limits.
        """
        try:
            yield from self._events()
        except etree.XMLSyntaxError as broken:
            raise Unreadable(self._fault(broken)) from broken
        except (LookupError, ValueError) as broken:
            raise Unreadable("The document is in an encoding that is not known.") from broken

    def let_go(self, element: etree._Element) -> None:
        """Told by the reader that it has all it wants of an element that ended, and of its siblings before it."""
        element.clear()  # at once, or two large ones would be held together
        parent = element.getparent()
        while parent is not None and (before := element.getprevious()) is not None:
            parent.remove(before)
        self._source.piece = 0

    def _events(self) -> Iterator[tuple[str, etree._Element]]:
        events = self._parsed()
        root = next(events, None)
        if root is None:
            raise Unreadable(f"The document is no {self._kind}.")
        self._check_root(root[1])
        yield root
        yield from events

    def _parsed(self) -> Iterator[tuple[str, etree._Element]]:
        return iter(
            etree.iterparse(
                self._source,
                events=("start", "end"),
                tag=self._tags,
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                dtd_validation=False,
                attribute_defaults=False,
                huge_tree=False,
                recover=False,
                remove_comments=True,  # or a comment inside an amount would cut it in two
                remove_pis=True,
            )
        )

    def _check_root(self, element: etree._Element) -> None:
        if _dtd(element) is not None:
            raise Unreadable("The document brings its own DTD, which is refused.")
        if (element.getroottree().docinfo.encoding or "UTF-8").upper() not in _ENCODINGS:
            raise Unreadable("The document is in an encoding that is not known.")
        if element.getparent() is not None:
            raise Unreadable("Document stands in the wrong place.")
        name = etree.QName(element)
        found = self._kind.find(name.namespace or "")
        if found is None and self._source.is_cut_short:  # inside its very first tag
            raise Unreadable(_cut_short(element.sourceline))
        if found is None:
            raise Unreadable(f"The document is no {self._kind}.")
        self.name, self.version = found
        self.namespace = name.namespace or ""

    def _fault(self, broken: etree.XMLSyntaxError) -> str:
        if self._source.is_blank:
            return "The document is empty."
        if self._source.is_cut_short:
            return _cut_short(broken.lineno)
        return f"The document is not well-formed XML at line {broken.lineno}."


def _cut_short(line: object) -> str:
    return f"The document is cut short: it stops at line {line}, before its end."


def _dtd(root: etree._Element) -> etree.DTD | None:
    return root.getroottree().docinfo.internalDTD  # the stubs forget that there may be none


class _Bounded:
    """The bytes of a document, counted."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._total = 0
        self._tail = b""
        self._ended = False
        self.piece = 0

    def read(self, _size: int = -1) -> bytes:
        """The next bytes, as the parser asks for them."""
        chunk = self._source.read(_CHUNK_BYTES)
        self._total += len(chunk)
        self.piece += len(chunk)
        if self._total > self._limits.bytes_max:
            raise Unreadable("The document is larger than any that is taken.")
        if self.piece > self._limits.piece_bytes_max:
            raise Unreadable("The document has a piece that is larger than any that is taken.")
        self._ended = not chunk
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        return chunk

    @property
    def is_blank(self) -> bool:
        """Whether there was nothing in it."""
        return self._ended and self._total <= _TAIL_BYTES and not self._tail.strip()

    @property
    def is_cut_short(self) -> bool:
        """Whether it was read to its end, and that is not the end of a document."""
        return self._ended and not _WHOLE.search(self._tail.replace(b"\0", b""))
