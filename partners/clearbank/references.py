"""The bank's own ids, in one spelling, so that the same id read in two places is the same text.

ClearBank writes a GUID in lower case in some messages and in upper case in others, and without hyphens where
an ISO 20022 element holds 35 characters only (AcctSvcrRef). Pure.
"""

import re
from uuid import UUID

_GUID = re.compile(r"\A[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}\Z")


def bank_id(text: str) -> str:
    """A GUID in lower case with its hyphens; any other text as it stands."""
    return str(UUID(text)) if is_guid(text) else text


def is_guid(text: str) -> bool:
    """Whether a text is a GUID, in any of the bank's spellings."""
    return _GUID.match(text) is not None
