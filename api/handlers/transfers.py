"""Commands of the book as callers write them: made into orders, screened, and carried out. Runs on a lane.

The id of a command is its idempotency key: what stands under it already is answered again and not screened again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from api import present
from api.lanes import Ask, Reply
from api.problems import from_declined, from_findings, from_refused, wire_name
from api.transfer_bodies import BatchBody
from api.transfer_orders import transfer_order
from compliance.gate import Gate
from ledger.core.clearance import Barred, Cleared, Held
from ledger.core.commands import Applied, Exists, Open, Refused, Result
from ledger.core.declined import Declined
from ledger.core.orders import TransferOrder
from ledger.flows import transfers
from ledger.store.parties import read_parties
from ledger.store.tx import Tx

Json = dict[str, Any]
NotCleared = Held[TransferOrder] | Barred[TransferOrder]
Answer = tuple[Result, ...] | NotCleared | Declined


@dataclass(frozen=True, slots=True)
class TransferHandlers:
    """What the book itself can be asked to do."""

    gate: Gate

    def transfer(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Carries out single commands."""
        orders = [transfer_order(ask.programme, [ask.payload[0]], tx.now) for ask in asks]
        return [_single(answer) for answer in self._answers(tx, orders)]

    def transfer_batch(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Carries out groups of commands; a group that is refused is an answer like any other."""
        batches: list[BatchBody] = [ask.payload[0] for ask in asks]
        orders = [
            transfer_order(ask.programme, group, tx.now)
            for ask, batch in zip(asks, batches, strict=True)
            for group in batch.groups
        ]
        shown = (
            _group(order, answer) for order, answer in zip(orders, self._answers(tx, orders), strict=True)
        )
        return [Reply(200, {"groups": [next(shown) for _ in batch.groups]}) for batch in batches]

    def _answers(self, tx: Tx, orders: Sequence[TransferOrder]) -> list[Answer]:
        """One answer an order: found, declined, kept back by the gate, or what the book says."""
        answers: dict[int, Answer] = _unknown_parties(tx, orders)
        answers |= {
            place: known for place, known in enumerate(transfers.recall(tx, orders)) if known is not None
        }
        fresh = [place for place in range(len(orders)) if place not in answers]
        screened = dict(zip(fresh, self.gate.screen(tx, [orders[place] for place in fresh]), strict=True))
        cleared = {place: item for place, item in screened.items() if isinstance(item, Cleared)}
        answers |= {place: item for place, item in screened.items() if not isinstance(item, Cleared)}
        answers |= zip(cleared, transfers.carry_out(tx, list(cleared.values())), strict=True)
        return [answers[place] for place in range(len(orders))]


def _unknown_parties(tx: Tx, orders: Sequence[TransferOrder]) -> dict[int, Answer]:
    """The orders that would open an account for somebody whom their programme does not have."""
    openings = [
        (place, command)
        for place, order in enumerate(orders)
        for command in order.commands
        if isinstance(command, Open) and command.party_id is not None
    ]
    if not openings:
        return {}
    parties = read_parties(tx, {command.party_id for _, command in openings if command.party_id is not None})
    answers: dict[int, Answer] = {}
    for place, command in openings:
        party = None if command.party_id is None else parties.get(command.party_id)
        if party is None or party.programme_id != command.programme_id:
            detail = f"There is no party {command.party_id} in this programme."
            answers[place] = Declined("party_unknown", detail, "party_id")
    return answers


# From the answer to the reply ----------------------------------------------------------------------------------


def _single(answer: Answer) -> Reply:
    if isinstance(answer, Declined):
        return Reply.declined(from_declined(answer))
    if isinstance(answer, Held | Barred):
        return Reply.declined(from_findings(answer.case_id, answer.findings, held=isinstance(answer, Held)))
    (result,) = answer
    if isinstance(result, Refused):
        return Reply.declined(from_refused(result))
    return Reply(201 if isinstance(result, Applied) else 200, _shown(result))


def _group(order: TransferOrder, answer: Answer) -> Json:
    """A group with the result of each of its commands; why the gate kept it back stands once, with the group."""
    if isinstance(answer, tuple):
        return {"result": _together(answer), "results": [_shown(result) for result in answer]}
    problem = (
        from_declined(answer)
        if isinstance(answer, Declined)
        else from_findings(answer.case_id, answer.findings, held=isinstance(answer, Held))
    )
    return {
        "result": "refused",
        "code": problem.code,
        "detail": problem.detail,
        "results": [
            {"id": command.id, "result": "refused", "code": problem.code} for command in order.commands
        ],
    }


def _together(results: Sequence[Result]) -> str:
    if any(isinstance(result, Refused) for result in results):
        return "refused"
    return "applied" if any(isinstance(result, Applied) for result in results) else "exists"


def _shown(result: Result) -> Json:
    match result:
        case Refused():
            shown = {
                "id": result.id,
                "result": "refused",
                "code": result.refusal.value,
                "detail": result.detail,
            }
            return shown | ({"field": wire_name(result.field)} if result.field else {})
        case Applied() | Exists():
            return {
                "id": result.id,
                "result": "applied" if isinstance(result, Applied) else "exists",
                "recorded_at": present.moment(result.recorded_at),
                "moved_minor": result.moved_minor,
            }
        case _:
            assert_never(result)
