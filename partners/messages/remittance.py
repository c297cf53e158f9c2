"""What a payment is for: free text, or the payee's own reference, which machines can match.

Pure. Source: ISO 11649 (creditor reference); EPC132-08: one occurrence of either, never both.
"""

import re
from dataclasses import dataclass
from typing import assert_never

from stdnum import iso11649

from ledger.core.errors import InvalidValue
from partners.messages.fields import REMITTANCE_MAX, check_text

_REFERENCE = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")


@dataclass(frozen=True, slots=True)
class CreditorReference:
    """A reference that the payee gave out, with check digits: `RF18539007547034`."""

    reference: str


Remittance = str | CreditorReference | None


def check_remittance(remittance: Remittance) -> None:
    """Raises: InvalidValue."""
    match remittance:
        case None:
            pass
        case str():
            check_text(remittance, field="remittance", length_max=REMITTANCE_MAX)
        case CreditorReference(reference):
            if not _REFERENCE.fullmatch(reference) or not iso11649.is_valid(reference):
                raise InvalidValue("This is not a creditor reference of ISO 11649.", field="remittance")
        case _:
            assert_never(remittance)


def remittance_xml(remittance: Remittance) -> str:
    """The element, or nothing."""
    match remittance:
        case None:
            return ""
        case str():
            return f"<RmtInf><Ustrd>{remittance}</Ustrd></RmtInf>"
        case CreditorReference(reference):
            kind = "<Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry><Issr>ISO</Issr></Tp>"
            return f"<RmtInf><Strd><CdtrRefInf>{kind}<Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf>"
        case _:
            assert_never(remittance)
