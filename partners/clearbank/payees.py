"""Verification of Payee: asks the payee's bank whether an account has this name, and reads what it says.

The bank wants to be told which bank to ask; that is derived from the IBAN. Only the four answers of the scheme are
believed; anything else is unreadable, and decides nothing.

Source: ClearBank EU, Verification of Payee 1.0, outbound single; EPC218-23.
"""

import json
import re
from typing import Final

from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from ledger.core.errors import InvalidValue
from partners.clearbank.json_text import optional_text, read_object, required_text
from partners.contract import Answer, PayeeAnswer, PayeeMatch, Request, Signing, Unreadable

PATH: Final = "/open-banking/vop/v1/payees/single"
NAME_MAX: Final = 140

_BIC = re.compile(r"\A[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?\Z")


def payee_request(*, name: str, iban: str) -> Request:
    """Asks whether an account has this name.

    Raises: InvalidValue when the name is no name, or no bank can be told from the IBAN.
    """
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidValue(f"A payee's name has 1 to {NAME_MAX} printable characters.", field="name")
    agent = f'{{"financialInstitutionId":{{"bicfi":{json.dumps(_bank_of(iban))}}}}}'
    account = f'{{"iban":{json.dumps(iban)}}}'
    body = f'{{"party":{{"name":{json.dumps(name)}}},"partyAccount":{account},"partyAgent":{agent}}}'
    return Request("POST", PATH, body.encode("ascii"), signing=Signing.MESSAGE, profile="clearbank.payee")


def interpret_payee(answer: Answer) -> PayeeAnswer:
    """What the payee's bank said. Raises: Unreadable for anything that is not an explicit answer."""
    if answer.status != 200:
        raise Unreadable(f"The bank answered with status {answer.status}.")
    said = read_object(answer.body)
    try:
        match = PayeeMatch(required_text(said, "partyNameMatch"))
    except ValueError as strange:
        raise Unreadable("partyNameMatch is none of the scheme's answers.") from strange
    close = match is PayeeMatch.CLOSE_MATCH
    return PayeeAnswer(match, optional_text(said, "matchedName") if close else None)


def _bank_of(iban: str) -> str:
    try:
        bic = IBAN(iban).bic
    except SchwiftyException as broken:
        raise InvalidValue("This is not an IBAN.", field="iban") from broken
    if bic is None or not _BIC.match(str(bic)):
        raise InvalidValue("No bank is known that keeps accounts with such IBANs.", field="iban")
    return str(bic)
