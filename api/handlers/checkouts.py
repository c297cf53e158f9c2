"""Checkouts, captures and refunds: orders made from what was asked, screened, and carried out. Runs on a lane."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from api import present
from api.bodies import CheckoutBody, LineBody, SplitBody
from api.lanes import Ask, Reply
from api.problems import Problem, from_declined, from_findings, not_found
from compliance import sca
from compliance.gate import Gate
from compliance.policy import Policies
from ledger.core.cart import Checkout, CheckoutState, check_cart
from ledger.core.clearance import Barred, Cleared, Held
from ledger.core.declined import Declined
from ledger.core.ids import CheckoutId, PartyId, ProgrammeId, RefundId, is_id
from ledger.core.money import Split, SplitTo
from ledger.core.orders import CaptureOrder, CheckoutOrder, Line, LineAmount, RefundOrder, Role
from ledger.flows import carts, checkouts
from ledger.store.checkouts import read_checkouts
from ledger.store.parties import Party, read_parties
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx

HOLD_LIFETIME = timedelta(days=7)
SCA_RULE = "strong_authentication"
O = TypeVar("O", CaptureOrder, RefundOrder)  # noqa: E741 - the letter that orders have in ledger.core


@dataclass(frozen=True, slots=True)
class CheckoutHandlers:
    """Everything that a cart can be asked to do."""

    gate: Gate
    policies: Policies

    def create(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Authorises carts; one whose payer must authenticate first is kept, and answered with its challenge."""
        parties = _parties_of(tx, [ask.payload[0] for ask in asks])
        programmes = read_programmes(tx, {ask.programme for ask in asks})
        made = [_cart(tx, ask, programmes[ask.programme], parties) for ask in asks]
        orders = [item for item in made if isinstance(item, CheckoutOrder)]
        replies = self._screen_and_authorise(tx, orders)
        return [
            replies[item.id] if isinstance(item, CheckoutOrder) else Reply.declined(from_declined(item))
            for item in made
        ]

    def authenticate(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Takes payers' signatures; a right one lets the cart be screened again and authorised."""
        ids = [CheckoutId(ask.payload[1]) for ask in asks]
        known = read_checkouts(tx, {key for key in ids if is_id("chk", key)})
        replies: list[Reply | None] = [
            self._check_answer(tx, ask, known.get(key)) for ask, key in zip(asks, ids, strict=True)
        ]
        answered = {key: known[key] for key, reply in zip(ids, replies, strict=True) if reply is None}
        authorised = self._screen_and_authorise(
            tx, [_order_again(checkout) for checkout in answered.values()]
        )
        for key in answered:
            if not authorised[key].keep:
                # Undone with the answer, so that the payer may give it again, as when there is money at last.
                raise authorised[key].as_problem()
        return [reply or authorised[key] for key, reply in zip(ids, replies, strict=True)]

    def capture(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Captures lines."""
        orders = [
            CaptureOrder(
                capture_id=tx.new_id("cap"),
                programme_id=ask.programme,
                checkout_id=CheckoutId(ask.payload[1]),
                lines=tuple(
                    LineAmount(line=line.id, amount_minor=line.amount_minor, final=line.final)
                    for line in ask.payload[0].lines
                ),
            )
            for ask in asks
        ]
        return self._move(tx, orders, carts.capture)

    def refund(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Refunds lines, from everyone who shared in them."""
        orders = [
            RefundOrder(
                refund_id=RefundId(tx.new_id("rfd")),
                programme_id=ask.programme,
                checkout_id=CheckoutId(ask.payload[1]),
                lines=tuple(
                    LineAmount(line=line.id, amount_minor=line.amount_minor) for line in ask.payload[0].lines
                ),
            )
            for ask in asks
        ]
        return self._move(tx, orders, carts.refund)

    def _move(
        self,
        tx: Tx,
        orders: Sequence[O],
        flow: Callable[[Tx, Sequence[Cleared[O]]], tuple[carts.Moved | Declined, ...]],
    ) -> list[Reply]:
        """Screens captures or refunds of checkouts that exist, and lets the flow carry out the cleared ones."""
        known = _known_checkouts(tx, orders)
        screened = self.gate.screen(tx, [order for order in orders if order.checkout_id in known])
        cleared = [item for item in screened if isinstance(item, Cleared)]
        moved = zip(cleared, flow(tx, cleared), strict=True)
        replies = {item.order.id: _moved_reply(answer) for item, answer in moved}
        replies |= {item.order.id: _gate_reply(item) for item in screened if not isinstance(item, Cleared)}
        return [replies.get(order.id) or Reply.declined(not_found("checkout")) for order in orders]

    def _screen_and_authorise(self, tx: Tx, orders: Sequence[CheckoutOrder]) -> dict[str, Reply]:
        screened = self.gate.screen(tx, orders)
        cleared = [item for item in screened if isinstance(item, Cleared)]
        waiting = [item.order for item in screened if isinstance(item, Held) and _wants_authentication(item)]
        replies = {
            item.order.id: _authorised_reply(item.order, answer)
            for item, answer in zip(cleared, checkouts.authorise(tx, cleared), strict=True)
        }
        replies |= self._challenge(tx, waiting)
        return replies | {
            item.order.id: _gate_reply(item)
            for item in screened
            if not isinstance(item, Cleared) and item.order.id not in replies
        }

    def _challenge(self, tx: Tx, orders: Sequence[CheckoutOrder]) -> dict[str, Reply]:
        answers = dict(zip(orders, checkouts.propose(tx, orders), strict=True))
        proposed = [order for order in orders if isinstance(answers[order], checkouts.Proposed)]
        challenges = {item.checkout_id: item for item in sca.ask(tx, self.policies, proposed)}
        replies = {
            order.id: Reply.declined(from_declined(answer))
            for order, answer in answers.items()
            if isinstance(answer, Declined)
        }
        for order in proposed:
            challenge = challenges[order.checkout_id]
            shown = {
                "kind": "strong_customer_authentication",
                "challenge": challenge.text,
                "expires_at": present.moment(challenge.expires_at),
            }
            state = CheckoutState.REQUIRES_AUTHENTICATION.value
            replies[order.id] = Reply(201, {**_shown(order, state), "next_action": shown})
        return replies

    def _check_answer(self, tx: Tx, ask: Ask, checkout: Checkout | None) -> Reply | None:
        """Why an answer does not authenticate, or None when it does."""
        if checkout is None or checkout.programme_id != ask.programme_id:
            return Reply.declined(not_found("checkout"))
        signature = ask.payload[0].signature
        answer = sca.answer(
            tx,
            self.policies,
            programme_id=checkout.programme_id,
            subject_id=checkout.id,
            signature=base64.b64decode(signature + "=" * (-len(signature) % 4)),
        )
        if isinstance(answer, sca.Answered):
            return None
        again = "new_key" if answer.code is sca.AnswerCode.WRONG else "never"
        problem = Problem(403, answer.code.value, "The payer's authentication was not accepted.", retry=again)
        # Kept, because the failure is counted: RTS (EU) 2018/389 article 4(3)(b).
        return Reply(problem.status, problem.body())


def _cart(tx: Tx, ask: Ask, programme: Programme, parties: Mapping[str, Party]) -> CheckoutOrder | Declined:
    body: CheckoutBody = ask.payload[0]
    if body.currency != programme.currency:
        return Declined(
            "currency_differs", f"Wallets of this programme hold {programme.currency}.", "currency"
        )
    for field, key in _named_parties(body).items():
        wrong = _check_party(field, key, parties.get(key), programme.id)
        if wrong is not None:
            return wrong
    lines = tuple(_line(line, parties) for line in body.lines)
    for place, line in enumerate(lines):
        if isinstance(line, Declined):
            return Declined(line.code, line.detail, f"lines.{place}.{line.field}")
    order = CheckoutOrder(
        checkout_id=CheckoutId(tx.new_id("chk")),
        programme_id=programme.id,
        payer_id=PartyId(body.payer),
        reference=body.reference,
        currency=body.currency,
        amount_minor=body.amount_minor,
        lines=tuple(line for line in lines if isinstance(line, Line)),
        expires_at=body.expires_at or tx.now + HOLD_LIFETIME,
    )
    return check_cart(order) or order


def _named_parties(body: CheckoutBody) -> dict[str, str]:
    """The parties that a cart names, by the field that names them."""
    named = {"payer": body.payer}
    for place, line in enumerate(body.lines):
        named[f"lines.{place}.seller"] = line.seller
        for at, split in enumerate(line.splits or ()):
            if split.to != SplitTo.PLATFORM.value:
                named[f"lines.{place}.splits.{at}.to"] = split.to
    return named


def _parties_of(tx: Tx, bodies: Sequence[CheckoutBody]) -> Mapping[str, Party]:
    named = {PartyId(key) for body in bodies for key in _named_parties(body).values() if is_id("pty", key)}
    return {str(key): party for key, party in read_parties(tx, named).items()}


def _check_party(field: str, key: str, party: Party | None, programme_id: ProgrammeId) -> Declined | None:
    """Payers are customers and sellers are merchants: nobody else's balance may be drawn on or sold into."""
    if party is None or party.programme_id != programme_id:
        return Declined("party_unknown", f"There is no party {key} in this programme.", field)
    wanted = {"payer": Role.CUSTOMER, "seller": Role.MERCHANT}.get(field.rpartition(".")[2], party.role)
    if party.role is not wanted:
        return Declined("role_wrong", f"{key} is a {party.role}, not a {wanted}.", field)
    return None


def _line(body: LineBody, parties: Mapping[str, Party]) -> Line | Declined:
    splits = (
        _agreed_splits(parties[body.seller])
        if body.splits is None
        else [_split(split, body, parties) for split in body.splits]
    )
    for split in splits:
        if isinstance(split, Declined):
            return split
    return Line(
        reference=body.id,
        seller_id=PartyId(body.seller),
        quantity=body.quantity,
        unit_minor=body.unit_minor,
        amount_minor=body.amount_minor,
        splits=tuple(split for split in splits if isinstance(split, Split)),
    )


def _agreed_splits(seller: Party) -> list[Split | Declined]:
    """The platform's agreed commission, and the rest for the seller."""
    rest = Split(SplitTo.SELLER, seller.id, None)
    if seller.commission_bps is None:
        detail = "The seller has no agreed commission: say how the line is split."
        return [Declined("commission_missing", detail, "splits")]
    if seller.commission_bps == 0:
        return [rest]
    return [Split(SplitTo.PLATFORM, None, seller.commission_bps), rest]


def _split(body: SplitBody, line: LineBody, parties: Mapping[str, Party]) -> Split | Declined:
    if body.remainder == (body.bps is not None):
        return Declined(
            "split_does_not_add_up", "A split has either basis points or the remainder.", "splits"
        )
    if body.to == SplitTo.PLATFORM.value:
        return Split(SplitTo.PLATFORM, None, body.bps)
    if body.to == line.seller:
        return Split(SplitTo.SELLER, body.to, body.bps)
    if parties[body.to].role is not Role.CREATOR:
        detail = f"{body.to} is neither the seller of this line nor a creator."
        return Declined("split_party_unknown", detail, "splits")
    return Split(SplitTo.CREATOR, body.to, body.bps)


def _order_again(checkout: Checkout) -> CheckoutOrder:
    """The very order that was proposed: the clearance and the payer's signature are bound to its every field."""
    return CheckoutOrder(
        checkout_id=checkout.id,
        programme_id=checkout.programme_id,
        payer_id=checkout.payer_id,
        reference=checkout.reference,
        currency=checkout.currency,
        amount_minor=checkout.amount_minor,
        lines=tuple(line.line for line in checkout.lines),
        expires_at=checkout.expires_at,
    )


def _known_checkouts(tx: Tx, orders: Sequence[CaptureOrder | RefundOrder]) -> set[str]:
    wanted = {order.checkout_id: order.programme_id for order in orders if is_id("chk", order.checkout_id)}
    found = read_checkouts(tx, wanted)
    return {key for key, checkout in found.items() if checkout.programme_id == wanted[key]}


def _wants_authentication(held: Held[CheckoutOrder]) -> bool:
    return {finding.rule for finding in held.findings} == {SCA_RULE}


def _authorised_reply(order: CheckoutOrder, answer: checkouts.Authorised | Declined) -> Reply:
    if isinstance(answer, Declined):
        return Reply.declined(from_declined(answer))
    return Reply(201, _shown(order, CheckoutState.AUTHORISED.value) | {"hold_id": answer.hold_id})


def _moved_reply(answer: carts.Moved | Declined) -> Reply:
    if isinstance(answer, Declined):
        # What an order calls the line is the id of the line in the body.
        field = answer.field and re.sub(r"\.line$", ".id", answer.field)
        return Reply.declined(from_declined(replace(answer, field=field)))
    return Reply(201, present.moved(answer))


def _gate_reply(
    item: "Held[CheckoutOrder | CaptureOrder | RefundOrder] | Barred[CheckoutOrder | CaptureOrder | RefundOrder]",
) -> Reply:
    problem = from_findings(item.case_id, item.findings, held=isinstance(item, Held))
    return Reply(problem.status, problem.body())


def _shown(order: CheckoutOrder, state: str) -> present.Json:
    return {
        "id": order.checkout_id,
        "reference": order.reference,
        "payer": order.payer_id,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "state": state,
        "expires_at": present.moment(order.expires_at),
    }
