"""Every code that the bank may send has words and a fault."""

import pytest

from partners.clearbank.adapter import ClearBank

LISTED = [
    "AB05",
    "AB08",
    "AB09",
    "AB10",
    "AB15",
    "AC01",
    "AC03",
    "AC04",
    "AC06",
    "AC13",
    "AG01",
    "AG02",
    "AG10",
    "AG11",
    "AM02",
    "AM03",
    "AM04",
    "AM05",
    "AM09",
    "AM23",
    "ARDT",
    "ARJT",
    "BE01",
    "BE04",
    "BE05",
    "CB01",
    "CB02",
    "CB05",
    "CNOR",
    "CUST",
    "DNOR",
    "DUPL",
    "ED05",
    "ERIN",
    "FF01",
    "FF05",
    "FOCR",
    "FRAD",
    "LEGL",
    "MD01",
    "MD02",
    "MD06",
    "MD07",
    "MS02",
    "MS03",
    "NOAS",
    "NOOR",
    "PY01",
    "RC01",
    "RC05",
    "RNPR",
    "RR01",
    "RR02",
    "RR03",
    "RR04",
    "SL01",
    "SL11",
    "SL12",
    "SL13",
    "SL14",
    "TECH",
    "TM01",
    "UPAY",
]


@pytest.mark.parametrize("code", LISTED)
def test_listed_code_is_explained(code: str) -> None:
    reason = ClearBank().explain(code)

    assert reason.code == code
    assert reason.text.endswith(".")
    assert "does not list" not in reason.text
    assert reason.fault in {"payer", "payee", "bank", "us", "unknown"}


def test_unlisted_code_is_kept_with_an_unknown_fault() -> None:
    reason = ClearBank().explain("ZZ99")

    assert (reason.code, reason.fault) == ("ZZ99", "unknown")


def test_closed_account_is_on_the_payees_side() -> None:
    reason = ClearBank().explain("AC04")

    assert (reason.namespace, reason.fault) == ("iso.external_status_reason1", "payee")


def test_banks_own_code_does_not_pass_for_an_iso_code() -> None:
    assert ClearBank().explain("CB02").namespace == "clearbank"
