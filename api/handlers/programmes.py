"""Programmes and their clients. Runs on a lane, inside its transaction."""

from collections.abc import Sequence

from api.auth import new_secret
from api.handlers.payouts import payee_name
from api.lanes import Ask, Reply
from api.problems import from_declined, not_found
from api.store import Client, insert_client
from ledger.core.ids import ProgrammeId, is_id
from ledger.flows.onboarding import found
from ledger.flows.payout_accounts import keep_first, new_account
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx


def found_programmes(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Founds programmes with their charts of accounts."""
    return [_found_one(tx, ask) for ask in asks]


def _found_one(tx: Tx, ask: Ask) -> Reply:
    (body,) = ask.payload
    programme = Programme(
        id=ProgrammeId(tx.new_id("prg")),
        name=body.name,
        legal_name=body.legal_name,
        bank_connection=body.bank_connection,
        safeguarding_bank_id=body.safeguarding.bank_id,
        safeguarding_iban=body.safeguarding.iban,
        operating_bank_id=body.operating.bank_id,
        operating_iban=body.operating.iban,
        currency=body.currency,
    )
    declined = found(tx, programme)
    if declined is not None:
        return Reply.declined(from_declined(declined))
    name = payee_name(programme.legal_name, field="legal_name")
    keep_first(
        tx, [new_account(tx, programme.id, None, name=name, iban=programme.operating_iban, by=ask.client)]
    )
    return Reply(201, {"id": programme.id, "name": programme.name, "currency": programme.currency})


def make_clients(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Makes clients of programmes; each secret is in its answer and nowhere else."""
    return [_client_one(tx, ask) for ask in asks]


def _client_one(tx: Tx, ask: Ask) -> Reply:
    asked, programme_id = ask.payload
    if not is_id("prg", programme_id) or programme_id not in read_programmes(tx, [programme_id]):
        return Reply.declined(not_found("programme"))
    secret, digest = new_secret()
    client = Client(tx.new_id("cli"), programme_id, digest, tuple(sorted(set(asked.scopes))))
    insert_client(tx, client)
    body = {"client_id": client.id, "scopes": list(client.scopes)}
    return Reply(201, body, secret={"client_secret": secret})
