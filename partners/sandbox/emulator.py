"""The simulation's own endpoint for money coming in, as the bank publishes it.

It cannot name the payer, so the payer is made up; the simulations under /sandbox can.

Source: ClearBank EU, "Simulation", SEPA CT inbound emulator.
"""

from partners.sandbox import incoming
from partners.sandbox.door import Call, Desk
from partners.sandbox.models import EmulatedInbound
from partners.sandbox.money import to_minor
from partners.sandbox.records import Party, Scheme
from partners.sandbox.store import accounts
from partners.sandbox.wire import Reply, RequestRefusedError, read_body

MADE_UP_NAME = "Emulated Payer"
MADE_UP_IBAN = "NL73ABNA0529451824"


def emulate_inbound(desk: Desk, call: Call) -> Reply:
    """POST /v1/payments/sepa-ct/emulator/inbound/payment.

    Raises: RequestRefusedError (400 for a broken rule or an IBAN that is not the bank's).
    """
    order = read_body(EmulatedInbound, call.body)
    place = accounts.find_place(desk.tx, order.creditor_account)
    if place is None:
        raise RequestRefusedError(
            400,
            "One or more validation errors occurred.",
            errors={"creditorAccount": ["is not an account here"]},
        )
    transfer = incoming.Transfer(
        payer=Party(name=MADE_UP_NAME, iban=MADE_UP_IBAN, bic=order.debtor_agent_bic),
        scheme=Scheme.CT,
        amount_minor=to_minor(order.amount),
        end_to_end_id=order.end_to_end_id,
        reference=order.reference,
    )
    incoming.receive(desk.bank, desk.tx, place, transfer)
    return Reply(202)
