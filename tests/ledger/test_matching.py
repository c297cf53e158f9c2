"""Matching is exact or it is none."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.ids import AccountId
from ledger.core.matching import BankLine, BookMovement, MatchRule, match

BANK = AccountId("acct_" + "1" * 32)
OTHER = AccountId("acct_" + "2" * 32)


def line(key: str, amount_minor: int, *, e2e: str | None = None, account: AccountId = BANK) -> BankLine:
    return BankLine(f"line-{key}", account, key, e2e, amount_minor)


def movement(
    version: int, key: str, amount_minor: int, *, e2e: str | None = None, account: AccountId = BANK
) -> BookMovement:
    return BookMovement(account, version, key, e2e, amount_minor)


def test_the_banks_own_id_matches_first() -> None:
    found = match(
        [line("tx-1", -500, e2e="ours")], [movement(1, "tx-1", -500), movement(2, "pay", -500, e2e="ours")]
    )

    (pair,) = found.matches
    assert (pair.movement.version, pair.rule) == (1, MatchRule.TRANSACTION_ID)
    assert [item.version for item in found.movements] == [2]


def test_our_end_to_end_id_matches_what_the_banks_id_did_not() -> None:
    found = match([line("tx-9", 3424, e2e="ours")], [movement(1, "pay_1", 3424, e2e="ours")])

    assert [pair.rule for pair in found.matches] == [MatchRule.END_TO_END_ID]


def test_another_amount_is_no_match() -> None:
    found = match([line("tx-1", 500)], [movement(1, "tx-1", 501)])

    assert found.matches == ()
    assert len(found.lines) == len(found.movements) == 1


def test_another_account_is_no_match() -> None:
    assert match([line("tx-1", 500)], [movement(1, "tx-1", 500, account=OTHER)]).matches == ()


def test_a_payment_and_its_return_share_an_end_to_end_id_and_are_told_apart() -> None:
    lines = [line("tx-1", -500, e2e="ours"), line("tx-2", 500, e2e="ours")]

    found = match(lines, [movement(1, "pay_1", -500, e2e="ours"), movement(2, "pay_1", 500, e2e="ours")])

    assert {(pair.line.id, pair.movement.version) for pair in found.matches} == {
        ("line-tx-1", 1),
        ("line-tx-2", 2),
    }


def test_two_candidates_are_none() -> None:
    lines = [line("tx-1", -500, e2e="twice"), line("tx-2", -500, e2e="twice")]

    found = match(lines, [movement(1, "pay_1", -500, e2e="twice")])

    assert found.matches == ()


keys = st.sampled_from(["a", "b", "c"])
amounts = st.sampled_from([-1, 1, 2])


@given(
    lines=st.lists(st.tuples(keys, amounts, keys), max_size=8),
    movements=st.lists(st.tuples(keys, amounts, keys), max_size=8),
)
def test_nothing_is_lost_and_nothing_is_matched_twice(
    lines: list[tuple[str, int, str]], movements: list[tuple[str, int, str]]
) -> None:
    ours = [BankLine(f"line-{at}", BANK, key, e2e, amount) for at, (key, amount, e2e) in enumerate(lines)]
    theirs = [movement(at, key, amount, e2e=e2e) for at, (key, amount, e2e) in enumerate(movements)]

    found = match(ours, theirs)

    matched = [pair.line.id for pair in found.matches]
    assert sorted(matched + [item.id for item in found.lines]) == sorted(item.id for item in ours)
    versions = [pair.movement.version for pair in found.matches]
    assert sorted(versions + [item.version for item in found.movements]) == sorted(
        item.version for item in theirs
    )
    assert all(pair.line.amount_minor == pair.movement.amount_minor for pair in found.matches)
