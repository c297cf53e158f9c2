"""What banks differ in about one and the same message: a dialect, as values.

Pure. A dialect says what is written and what is refused; it never mends an order.
Source: ISO 20022 editions of 2009 and 2019; EPC132-08, EPC121-16 and EPC130-08 (customer-to-bank guidelines), which
leave to each bank what stands here.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PAYMENTS_MAX = 1_000_000  # so that no sum of the largest amounts needs more than the 18 digits of CtrlSum


class Edition(StrEnum):
    """Which edition of the messages a bank takes: pain.001.001.03 and pain.008.001.02, or .09 and .08."""

    OF_2009 = "2009"
    OF_2019 = "2019"


class InstantAs(StrEnum):
    """The element in which `INST` stands."""

    CODE = "Cd"
    PROPRIETARY = "Prtry"


class OwnBankAs(StrEnum):
    """How our own account's bank is named: by its BIC, or not at all because the IBAN says it."""

    BIC = "bic"
    NOT_PROVIDED = "not_provided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One bank's dialect.

    Raises: ValueError when it would have something written that no bank of that edition reads.
    """

    name: str
    edition: Edition = Edition.OF_2019
    instant_as: InstantAs = InstantAs.CODE
    own_bank_as: OwnBankAs = OwnBankAs.BIC
    uetr: bool = True  # sent, and then never missing
    hybrid_addresses: bool = True  # or structured ones only
    batch_booking: bool = (
        True  # whether the element may be sent; without it, what was agreed with the bank holds
    )
    execution_times: bool = True  # whether a payment may be ordered for a time of the day
    payments_max: int = 100_000  # a file
    message_id_pattern: str = r"[0-9a-zA-Z\-?:().,'+/ ]{1,35}"

    def __post_init__(self) -> None:
        if self.edition is Edition.OF_2009 and (self.uetr or self.execution_times):
            raise ValueError(f"{self.name}: the edition of 2009 has neither UETR nor times of execution")
        if not 1 <= self.payments_max <= _PAYMENTS_MAX:
            raise ValueError(f"{self.name}: a file holds 1 to {_PAYMENTS_MAX} payments")
        re.compile(self.message_id_pattern)


SEPA: Final = Dialect(name="sepa")
SEPA_OF_2009: Final = Dialect(name="sepa of 2009", edition=Edition.OF_2009, uetr=False, execution_times=False)
