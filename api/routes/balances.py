"""What the book holds and held: balances as of either time, accounts by their place, statements, transfers."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import Moment, PartyRef
from api.parts import Parts
from api.past import read_as_of_now, read_past
from api.problems import Problem, in_field, not_found
from api.strict import StrictRoute
from ledger.core.chart import Code
from ledger.core.ids import AccountId, PartyId, TransferId, is_id
from ledger.reports.balances import account_balance, account_balance_by_value_date, balances_together
from ledger.reports.statements import statement_by_value_date
from ledger.store.history import Among, accounts_page, read_transfer, transfers_page
from ledger.store.rows import Page
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["ledger"], route_class=StrictRoute)
Reader = Depends(Needs(Scope.LEDGER_READ))
AccountPage = Depends(desk.page("acct"))
TransferPage = Depends(desk.page("xfr"))
VERSION_MAX = 2**63 - 1
METADATA_MAX = 8
_METADATA = re.compile(r"\Ametadata\[([^\x00]{1,64})\]\Z")
_TEXT_MAX = 512

TreePath = Annotated[
    str,
    Query(
        pattern=r"^[!-.0-~]+(/[!-.0-~]+)*$",
        max_length=200,
        description="a place in the tree, and all that is under it: class/code/subdivision",
    ),
]
Tags = Annotated[
    list[Annotated[str, Query(pattern=r"^[ -~]{1,64}$")]],
    Query(max_length=16, description="a tag that the accounts have; several: all of them"),
]
RecordedAt = Annotated[Moment, Query(description="what the book knew at this instant; not later than now")]
EffectiveAt = Annotated[Moment, Query(description="by value date, up to and with this instant")]


@router.get("/balances")
async def get_balances(
    request: Request,
    caller: Caller = Reader,
    path: TreePath | None = None,
    tag: Tags = [],  # noqa: B006 - FastAPI copies its defaults
    at: RecordedAt | None = None,
) -> dict[str, Any]:
    """What accounts hold together, currency by currency: under a path of the tree, with these tags; now, or then."""
    among = Among(path=path, tags=tuple(tag))

    def reader(tx: Tx) -> list[present.Json]:
        found = balances_together(tx, caller.programme_id, among=among, recorded_at=at)
        return [present.total(item) for item in found]

    data = await desk.off_loop(
        lambda: read_past(_parts(request), caller.programme_id, at, reader, field="at")
    )
    return {"path": path, "tags": list(tag), "at": present.moment(at), "data": data}


@router.get("/accounts")
async def list_accounts(
    request: Request,
    caller: Caller = Reader,
    page: Page = AccountPage,
    code: Code | None = None,
    party_id: PartyRef | None = None,
    path: TreePath | None = None,
    tag: Tags = [],  # noqa: B006 - as above
) -> dict[str, Any]:
    """A page of accounts with their balances, by their place in the chart, their party, or their tags."""
    party = None if party_id is None else PartyId(party_id)
    among = Among(path=path, tags=tuple(tag), code=code, party_id=party)
    found = await desk.read(request, lambda tx: accounts_page(tx, caller.programme_id, page, among=among))
    return desk.paged([present.listed_account(*item) for item in found], page)


@router.get("/accounts/{account_id}/balance")
async def get_balance(
    request: Request,
    account_id: str,
    caller: Caller = Reader,
    recorded_at: RecordedAt | None = None,
    effective_at: EffectiveAt | None = None,
) -> dict[str, Any]:
    """An account's balance as the book knew it at an instant, or by value date, or both; an answer is final.

    Without `recorded_at` it is as of all that stands, and may be another when more is recorded.
    """
    account = _account_id(account_id)
    programme_id = caller.programme_id

    def reader(tx: Tx) -> present.Json:
        if effective_at is None:
            found = account_balance(tx, programme_id, account, recorded_at=recorded_at)
            return present.balance(found, recorded_at=recorded_at)
        dated = account_balance_by_value_date(
            tx, programme_id, account, effective_at=effective_at, recorded_at=recorded_at
        )
        return present.dated_balance(dated, effective_at=effective_at, recorded_at=recorded_at)

    return await desk.off_loop(
        lambda: read_past(_parts(request), programme_id, recorded_at, reader, field="recorded_at")
    )


@router.get("/accounts/{account_id}/statement")
async def get_statement(
    request: Request,
    account_id: str,
    effective_from: EffectiveAt,
    effective_until: Annotated[Moment, Query(description="until just before this instant")],
    caller: Caller = Reader,
    recorded_at: RecordedAt | None = None,
    after: Annotated[int, Query(ge=0, le=VERSION_MAX, description="the version of the last entry seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=desk.PAGE_MAX)] = 100,
) -> dict[str, Any]:
    """A page of what moved on an account by value date, with the balances before and after the whole range.

    As known at `recorded_at`; without it, as known now: the answer says when that was, and the next page asks for it.
    """
    account = _account_id(account_id)
    programme_id = caller.programme_id

    def reader(tx: Tx, known_at: datetime) -> present.Json:
        found = statement_by_value_date(
            tx, programme_id, account, starts_at=effective_from, ends_at=effective_until,
            recorded_at=known_at, after=after, limit=limit + 1,
        )  # fmt: skip
        return present.dated_statement(found, limit=limit)

    parts = _parts(request)
    if recorded_at is None:
        return await desk.off_loop(lambda: read_as_of_now(parts, programme_id, reader))
    return await desk.off_loop(
        lambda: read_past(
            parts, programme_id, recorded_at, lambda tx: reader(tx, recorded_at), field="recorded_at"
        )
    )


@router.get("/transfers/{transfer_id}")
async def get_transfer(request: Request, transfer_id: str, caller: Caller = Reader) -> dict[str, Any]:
    """One transfer with its legs."""

    def reader(tx: Tx) -> present.Json:
        if not is_id("xfr", transfer_id):
            raise not_found("transfer")
        found = read_transfer(tx, caller.programme_id, TransferId(transfer_id))
        if found is None:
            raise not_found("transfer")
        return present.transfer(found)

    return await desk.read(request, reader)


@router.get("/transfers")
async def list_transfers(
    request: Request, caller: Caller = Reader, page: Page = TransferPage
) -> dict[str, Any]:
    """A page of transfers in the order of their ids; `metadata[key]=value`, once or more, finds those that say so."""
    metadata = _metadata(request)
    found = await desk.read(
        request, lambda tx: transfers_page(tx, caller.programme_id, page, metadata=metadata)
    )
    return desk.paged([present.transfer(item) for item in found], page)


def _metadata(request: Request) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in {"after", "limit"}:
            continue
        key = _METADATA.match(name)
        if key is None or key[1] in asked or "\x00" in value or len(value) > _TEXT_MAX:
            detail = "Transfers are found by metadata[key]=value, each key once."
            raise Problem(422, "invalid_request", detail, in_field(name[:64], "invalid_filter", detail))
        asked[key[1]] = value
    if len(asked) > METADATA_MAX:
        detail = f"At most {METADATA_MAX} metadata can be asked for at once."
        raise Problem(422, "invalid_request", detail, in_field("metadata", "too_many", detail))
    return asked


def _account_id(text: str) -> AccountId:
    if not is_id("acct", text):
        raise not_found("account")
    return AccountId(text)


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
