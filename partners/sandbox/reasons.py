"""Why payments fail: the ISO 20022 reason codes that this bank uses, in words.

Source: ClearBank EU pages on SEPA CT and SEPA Instant failure reasons (external code set
ExternalStatusReason1Code).
"""

UNKNOWN_DEBTOR = "BE01"
UNREACHABLE_CREDITOR = "CB02"
INSUFFICIENT_FUNDS = "AM04"
DELAYED = "CB05"
CLOSED_ACCOUNT = "AC04"

_WORDS = {
    "AB05": "Timeout at the creditor agent",
    "AB08": "Creditor agent is offline",
    "AB09": "Error at the creditor agent",
    "AC01": "Incorrect account number",
    "AC04": "Closed account number",
    "AC06": "Blocked account",
    "AM04": "Insufficient funds",
    "BE01": "Account does not belong to the institution",
    "CB01": "Unknown reason",
    "CB02": "Creditor BIC cannot be derived or is not reachable",
    "CB05": "Payment was delayed",
    "CNOR": "Creditor bank is not registered",
    "CUST": "Customer decision",
    "MD07": "End customer is deceased",
    "MS03": "Reason not specified",
    "RR04": "Regulatory reason",
    "TM01": "Invalid cut-off time",
}


def words(code: str) -> str:
    """A reason code in words; an unknown code is its own explanation."""
    return _WORDS.get(code, code)
