"""The countries whose accounts the SEPA schemes reach, as their IBANs begin.

Source: EPC409-09, list of SEPA scheme countries. Territories that use their country's IBANs (the Channel Islands and
the Isle of Man, the French overseas departments, Åland) are reached under its letters.
"""

from typing import Final

_EUROPEAN_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
_ECONOMIC_AREA = "IS LI NO"
_FURTHER = "AD AL CH GB GI MC MD ME MK RS SM VA"

SEPA_COUNTRIES: Final = frozenset(f"{_EUROPEAN_UNION} {_ECONOMIC_AREA} {_FURTHER}".split())
