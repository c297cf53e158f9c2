"""The files that a bank leaves for us: whether it signed them, which message they are, and what they say.

The same bytes are the same notice, under whatever name they come. A row that cannot be read is told by its place and
keeps no other from being acted on; a document that is not whole is not believed at all.
Source: ISO 20022 pain.002, camt.052, camt.053 and camt.054.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from partners.body_signature import check_body_signature
from partners.contract import Informational, Notice, NoticeMeaning, Unreadable
from partners.iso20022.notifications import read_notification
from partners.iso20022.statements import read_statement_file
from partners.iso20022.status_reports import read_status_report
from partners.messages.xml_stream import Kind, XmlStream

SIGNATURE_FIELD: Final = "signature"
_KIND: Final = Kind(("pain.002", "camt.052", "camt.053", "camt.054"), first=2, last=14)


def verify_notice(*, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes) -> None:
    """RSA PKCS#1 v1.5 with SHA-256 over the file, in the field `signature`.

    A file that comes without a signature is believed, if at all, for the directory that it lay in: that is for whoever
    set the directory up to say, and never said here. Raises: BadSignature.
    """
    check_body_signature(headers, field=SIGNATURE_FIELD, body=body, public_key_pem=public_key_pem)


def parse_notice(body: bytes) -> Notice:
    """What a file says. Raises: Unreadable."""
    name, version = _message(body)
    meanings = _READERS[name](body)
    return Notice(hashlib.sha256(body).hexdigest(), f"{name}.001.{version:02}", meanings)


def is_notice(name: str) -> bool:
    """Whether a file is a message, by its name."""
    return name.lower().endswith(".xml")


def _message(body: bytes) -> tuple[str, int]:
    stream = XmlStream(body, _KIND, tags=())
    if next(iter(stream), None) is None:
        raise Unreadable(f"The document is no {_KIND}.")
    return stream.name, stream.version


def _interim(_body: bytes) -> tuple[NoticeMeaning, ...]:
    """An interim report is repeated by the statement of its day."""
    return (Informational("an interim report"),)


_READERS: Final[Mapping[str, Callable[[bytes], tuple[NoticeMeaning, ...]]]] = {
    "pain.002": read_status_report,
    "camt.052": _interim,
    "camt.053": read_statement_file,
    "camt.054": read_notification,
}
