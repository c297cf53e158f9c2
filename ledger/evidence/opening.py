"""What an account is, against what its opening said: every attribute follows from that one fact and the chart. Pure."""

from collections.abc import Mapping

from ledger.core.canonical import Canonical
from ledger.core.chart import CHART, Code, path_of
from ledger.core.facts import AccountFact, TransferFact
from ledger.evidence.discrepancy import Discrepancy, Found


def check_opening(opening: TransferFact, account: AccountFact) -> Found:
    """Each attribute of an account that is not what it was opened with."""
    said = _said(opening)
    if said is None:
        detail = f"{opening.id}, which opened it, says of no account what it is"
        return [Discrepancy("accounts", account.id, detail)]
    return [
        Discrepancy(
            "accounts", account.id, f"{name} is {value!r}; {opening.id} opened it with {said[name]!r}"
        )
        for name, value in _shown(account).items()
        if said[name] != value
    ]


def _shown(account: AccountFact) -> dict[str, Canonical]:
    return {
        "programme_id": account.programme_id,
        "code": account.code,
        "path": account.path,
        "class": account.account_class,
        "side": account.side,
        "pool": account.pool,
        "party_id": account.party_id,
        "currency": account.currency,
        "tags": list(account.tags),
        "min_available_minor": account.min_available_minor,
        "max_balance_minor": account.max_balance_minor,
    }


def _said(opening: TransferFact) -> dict[str, Canonical] | None:
    """What the command that opened an account asked for, and what the chart adds to it."""
    asked = opening.asked
    try:
        code = Code(str(asked["code"]))
        subdivision, tags = _texts(asked, "subdivision"), _texts(asked, "tags")
        taken = {
            name: asked[name] for name in ("party_id", "currency", "min_available_minor", "max_balance_minor")
        }
    except (KeyError, ValueError):
        return None
    place = CHART[code]
    return taken | {
        "programme_id": opening.programme_id,
        "code": code.value,
        "path": path_of(code, tuple(subdivision)),
        "class": place.account_class.value,
        "side": place.side.value,
        "pool": place.pool,
        "tags": sorted(set(tags)),
    }


def _texts(asked: Mapping[str, Canonical], name: str) -> list[str]:
    value = asked[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(name)
    return [str(item) for item in value]
