"""Verification of Payee: does this name belong to this IBAN?

The simulation's four magic remittances decide; without one, the name is compared with that of the account
here. For another bank's IBAN the answer is "not applicable", for this bank asks nobody.

Source: ClearBank EU, 1.0VOP; EPC218-23 (MTCH, CMTC, NMTC, NOAP). How close a close match is, each bank
decides for itself.
"""

import difflib
import re
import unicodedata
from enum import StrEnum

from partners.sandbox.door import Call, Desk
from partners.sandbox.recall_models import PayeeQuestion
from partners.sandbox.store import accounts
from partners.sandbox.wire import Json, Reply, RequestRefusedError, read_body

CLOSE = 0.8
_NOT_LETTERS = re.compile(r"[^\w]+")


class Match(StrEnum):
    """The scheme's four answers."""

    MATCH = "MTCH"
    CLOSE_MATCH = "CMTC"
    NO_MATCH = "NMTC"
    NOT_APPLICABLE = "NOAP"


MAGIC = {
    "--match--": Match.MATCH,
    "--closematch--": Match.CLOSE_MATCH,
    "--nomatch--": Match.NO_MATCH,
    "--notapplicable--": Match.NOT_APPLICABLE,
}
# What a close match by magic gives back when the IBAN is not of this bank.
MADE_UP_NAME = "Sandbox Payee"


def verify_payee(desk: Desk, call: Call) -> Reply:
    """POST /open-banking/vop/v1/payees/single.

    Raises: RequestRefusedError (400 for a broken rule, or for a name and an id together).
    """
    question = read_body(PayeeQuestion, call.body)
    name, identification = question.party.name, question.party.identification
    if (name is None) == (identification is None):
        raise RequestRefusedError(400, "Presence of two fields that are mutually exclusive")
    place = accounts.find_place(desk.tx, question.party_account.iban)
    owner = None if place is None else place.owner
    ordered = _ordered(question)
    if name is None:
        return Reply(200, _view(None, ordered or Match.NOT_APPLICABLE, owner))
    return Reply(200, _view(ordered or compare(name, owner), None, owner))


def compare(name: str, owner: str | None) -> Match:
    """How a name that was given compares with the account holder's."""
    if owner is None:
        return Match.NOT_APPLICABLE
    given, held = _words(name), _words(owner)
    if given == held:
        return Match.MATCH
    alike = difflib.SequenceMatcher(None, " ".join(given), " ".join(held)).ratio()
    return Match.CLOSE_MATCH if sorted(given) == sorted(held) or alike >= CLOSE else Match.NO_MATCH


def _ordered(question: PayeeQuestion) -> Match | None:
    texts = question.unstructured_remittance_information or []
    return next((MAGIC[text] for text in texts if text in MAGIC), None)


def _words(name: str) -> list[str]:
    """A name without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return _NOT_LETTERS.sub(" ", letters.replace(".", "")).split()


def _view(name_match: Match | None, id_match: Match | None, owner: str | None) -> Json:
    is_close = name_match is Match.CLOSE_MATCH
    return {
        "partyNameMatch": name_match,
        "partyIdMatch": id_match,
        "matchedName": (owner or MADE_UP_NAME) if is_close else None,
    }
