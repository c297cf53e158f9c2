"""Part of the auditor's check of a database: accounts, against what their entries and their opening come to. Pure."""

from collections.abc import Iterable, Iterator

from ledger.core.facts import AccountFact
from ledger.evidence.discrepancy import Discrepancy, in_leg, in_step, in_transfer, missing_entry
from ledger.evidence.opening import check_opening
from ledger.evidence.standing import Standing
from ledger.store.audit import AccountRow, EntryRow, StandingRow


def ownerless(entries: Iterable[EntryRow]) -> Iterator[Discrepancy]:
    """Entries of accounts that are not there."""
    last: int | None = None
    for row in entries:
        if row.number != last:
            yield Discrepancy(
                "accounts", f"number {row.number}", "is missing, though there are entries of it"
            )
        last = row.number
        detail = f"there is no account of the number {row.number}"
        if row.entry.leg:
            yield in_leg(row.entry.transfer_id, row.entry.leg, detail)
        else:
            yield in_step(f"number {row.number}", row.entry.version, detail)


def again(account: AccountRow) -> Discrepancy:
    """A number that comes twice: two accounts have it, or two standings."""
    key = f"number {account.number}" if account.fact is None else account.fact.id
    return Discrepancy(
        "accounts", key, f"the number {account.number} stands more than once, here or in standings"
    )


def check_account(account: AccountRow, entries: Iterable[EntryRow]) -> Iterator[Discrepancy]:
    """An account, done again from all its entries and held against its row and where it is said to stand."""
    if account.fact is None:
        yield Discrepancy("standings", f"number {account.number}", "there is no account of this number")
        yield from ownerless(entries)
        return
    standing = Standing(account.fact)
    last: EntryRow | None = None
    for row in entries:
        if last is not None and last.entry.transfer_id != row.entry.transfer_id:
            yield from standing.check_limits(last.entry)
        if last is not None and _out_of_order(last.position, row.position):
            yield _leaf_out_of_order(row, last)
        yield from standing.take(row.entry)
        last = row
    if last is not None:
        yield from standing.check_limits(last.entry)
    yield from _check_standing(account.fact, account.standing, standing)
    if account.opening is None:
        yield Discrepancy("accounts", account.fact.id, "there is no fact that opened it")
        return
    yield from check_opening(account.opening, account.fact)
    if account.opened_at != account.opening.recorded_at:
        yield Discrepancy("accounts", account.fact.id, f"was not opened at {account.opened_at}")


def _out_of_order(before: int | None, now: int | None) -> bool:
    """An account's transfers stand in the log in the order of its versions, and what is unsealed behind them."""
    return now is not None and (before is None or now < before)


def _leaf_out_of_order(row: EntryRow, last: EntryRow) -> Discrepancy:
    where = "is not sealed" if last.position is None else f"stands at {last.position}"
    return in_transfer(
        row.entry.transfer_id,
        f"stands in the log at {row.position}, but {last.entry.transfer_id}, which {row.entry.account_id} saw"
        f" before it, {where}",
    )


def _check_standing(fact: AccountFact, said: StandingRow | None, standing: Standing) -> Iterator[Discrepancy]:
    """Where the account is said to stand, against what its entries and its opening come to."""
    if said is None:
        yield Discrepancy("standings", fact.id, "is missing: nothing says where the account stands")
        return
    if said.version > standing.version:
        detail = f"the account is at version {said.version}"
        yield missing_entry(fact.id, standing.version + 1, detail)
    comes_to = StandingRow(
        standing.status,
        standing.debits_minor,
        standing.credits_minor,
        standing.held_minor,
        standing.version,
        standing.recorded_at,
        fact.side,
        fact.min_available_minor,
        fact.max_balance_minor,
    )
    for name, value, right in zip(StandingRow._fields, said, comes_to, strict=True):
        if value != right:
            detail = f"{name} is {value}; the account's entries and its opening come to {right}"
            yield Discrepancy("standings", fact.id, detail)
