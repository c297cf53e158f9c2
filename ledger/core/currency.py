"""Which codes are currencies: those of ISO 4217. What a programme counts in besides is its own units."""

from iso4217 import Currency

ISO_CODES = frozenset(currency.code for currency in Currency)
