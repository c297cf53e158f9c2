"""What ISO 20022's codes mean, in words for people, and whose fault each is: one table for every bank.

"payer" is the side that the money leaves, "payee" the side it was meant for, "bank" any bank or scheme between them,
"us" our own set-up. Banks call their lists not exhaustive, so what is not here is for the adapter to say. Pure.

Source: ISO 20022 external status, return and cancellation reason codes.
"""

from collections.abc import Mapping
from typing import Final

from partners.contract import Fault, Reason

ISO: Final = "iso.external_status_reason1"

_ISO_CODES: Final[Mapping[str, tuple[str, Fault]]] = {
    "AB05": ("The payee's bank did not answer in time.", "bank"),
    "AB08": ("The payee's bank is offline.", "bank"),
    "AB09": ("The payee's bank met an error.", "bank"),
    "AB10": ("A bank on the way met an error.", "bank"),
    "AC01": ("The account number is wrong or does not exist.", "payee"),
    "AC03": ("The payee's account number is wrong.", "payee"),
    "AC04": ("The account is closed.", "payee"),
    "AC06": ("The account is blocked.", "payee"),
    "AC13": ("The debtor's account belongs to a consumer.", "payer"),
    "AG01": ("Credit transfers are not allowed on this account.", "payee"),
    "AG02": ("The bank operation code is wrong.", "us"),
    "AG10": ("A bank is suspended from the scheme.", "bank"),
    "AG11": ("The payee's bank is suspended from the scheme.", "bank"),
    "AM02": ("The amount is more than is allowed.", "us"),
    "AM03": ("The currency is not enabled for this account.", "us"),
    "AM04": ("The account does not hold enough money.", "payer"),
    "AM05": ("The payment was taken for a duplicate.", "us"),
    "AM09": ("The amount is not the one that was agreed.", "payer"),
    "AM23": ("The amount is above the limit of the settlement.", "us"),
    "ARDT": ("The payment has already been returned.", "unknown"),
    "ARJT": ("The recall has already been rejected.", "unknown"),
    "BE01": ("The account and its holder do not belong together.", "us"),
    "BE04": ("The payee's address is missing or wrong.", "us"),
    "BE05": ("The creditor's identifier is not recognised.", "us"),
    "CNOR": ("The payee's bank is not registered in the scheme.", "bank"),
    "CUST": ("A customer decided so.", "payee"),
    "DNOR": ("The payer's bank is not registered in the scheme.", "bank"),
    "DUPL": ("The payment was sent twice.", "payer"),
    "ED05": ("The settlement failed.", "bank"),
    "ERIN": ("The option to return is not supported.", "bank"),
    "FF01": ("The message has a wrong format.", "us"),
    "FF05": ("The local instrument code is wrong.", "us"),
    "FOCR": ("Returned because it was recalled.", "payer"),
    "FRAD": ("The payment came from fraud.", "payer"),
    "LEGL": ("A legal decision forbids it.", "payee"),
    "MD01": ("There is no mandate.", "payer"),
    "MD02": ("The mandate's data are missing or wrong.", "us"),
    "MD06": ("The payer asked for a refund.", "payer"),
    "MD07": ("The account holder has died.", "payee"),
    "MS02": ("The customer refused, without saying why.", "payee"),
    "MS03": ("The bank refused, without saying why.", "bank"),
    "NOAS": ("The customer did not answer.", "payee"),
    "NOOR": ("The original payment was never received.", "bank"),
    "PY01": ("The payee's bank cannot be reached in this scheme.", "bank"),
    "RC01": ("The bank's identifier is wrong.", "us"),
    "RC05": ("The payee's bank identifier is wrong.", "us"),
    "RNPR": ("The original payment cannot be processed.", "bank"),
    "RR01": ("The payer's account or identification is missing.", "us"),
    "RR02": ("The payer's name or address is missing.", "us"),
    "RR03": ("The payee's name or address is missing.", "us"),
    "RR04": ("A regulatory reason forbids it.", "unknown"),
    "SL01": ("A service that the payer's bank offers refused it.", "payer"),
    "SL11": ("The payee is not on the payer's list of allowed creditors.", "payer"),
    "SL12": ("The payee is on the payer's list of blocked creditors.", "payer"),
    "SL13": ("The payer's limit of collections is reached.", "payer"),
    "SL14": ("The payer's limit of amounts is reached.", "payer"),
    "TECH": ("A technical problem sent the payment in error.", "payer"),
    "TM01": ("It came after the cut-off time.", "us"),
    "UPAY": ("The payment is not due.", "payer"),
}


def explain_iso(code: str) -> Reason | None:
    """What one of ISO's codes means; None for a code that is not among them."""
    if code not in _ISO_CODES:
        return None
    text, fault = _ISO_CODES[code]
    return Reason(namespace=ISO, code=code, text=text, fault=fault)
