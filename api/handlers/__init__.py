"""What writes do: each handler takes many asks in one transaction, has the gate screen them, and lets a flow act."""

from dataclasses import dataclass

from api.handlers.checkouts import CheckoutHandlers
from api.handlers.parties import PartyHandlers
from api.handlers.payouts import PayoutHandlers
from api.handlers.transfers import TransferHandlers
from api.parts import Parts


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers that are made of parts, made once: a lane groups its items by them."""

    parties: PartyHandlers
    checkouts: CheckoutHandlers
    payouts: PayoutHandlers
    transfers: TransferHandlers


def build_handlers(parts: Parts) -> Handlers:
    """The handlers over these parts."""
    return Handlers(
        parties=PartyHandlers(parts.gate),
        checkouts=CheckoutHandlers(parts.gate, parts.policies),
        payouts=PayoutHandlers(parts.gate, parts.banks),
        transfers=TransferHandlers(parts.gate),
    )
