"""A till: a client that may write transfers, in a programme where Ana has money; and the commands it sends."""

import secrets
from dataclasses import dataclass
from typing import Any

from tests.api.talk import Json, Session
from tests.api.world import Shop

TRANSFERS = "/v1/transfers"
BATCH = "/v1/transfers/batch"


def xfr() -> str:
    """An id as a caller makes one."""
    return f"xfr_{secrets.token_hex(16)}"


def acct() -> str:
    return f"acct_{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class Till:
    """Writes commands for one programme."""

    shop: Shop
    session: Session

    def command(self, kind: str, **said: Any) -> Json:
        """A command with an id of its own, unless one is given."""
        return {"id": xfr(), "kind": kind, "reference": "till-1", **said}

    def post(self, debit: str, credit: str, amount_minor: int, **said: Any) -> Json:
        leg = {"debit": debit, "credit": credit, "amount_minor": amount_minor}
        return self.command("post", legs=[leg], **said)

    def open_account(self, **changes: Any) -> Json:
        """A savings account of Ana's."""
        said = {
            "account_id": acct(),
            "code": "customer_wallet",
            "subdivision": [f"savings-{secrets.token_hex(4)}"],
            "party_id": self.shop.ana["id"],
            "currency": "EUR",
        }
        return self.command("open_account", **{**said, **changes})

    def opened(self, **changes: Any) -> str:
        """An account that is open."""
        command = self.open_account(**changes)
        self.done(command)
        return str(command["account_id"])

    def done(self, command: Json) -> Json:
        """What a command that must be carried out is answered."""
        answer = self.session.post(TRANSFERS, command)
        assert answer.status_code == 201, answer.text
        assert answer.json()["result"] == "applied"
        return dict(answer.json())

    def batch(self, *groups: list[Json]) -> list[Json]:
        """What each group is answered."""
        answer = self.session.post(BATCH, {"groups": list(groups)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["groups"])

    def account(self, account_id: str) -> Json:
        return self.shop.api.read(f"/v1/accounts/{account_id}")

    def available(self, account_id: str) -> int:
        found: int = self.account(account_id)["available_minor"]
        return found

    @property
    def wallet(self) -> str:
        """Ana's wallet."""
        return str(self.shop.ana["account_id"])

    @property
    def seller(self) -> str:
        """The hotel's balance."""
        return str(self.shop.hotel["account_id"])


def till_of(shop: Shop, *scopes: str) -> Till:
    """A till with a client of its own in the shop's programme."""
    path = f"/v1/programmes/{shop.programme_id}/clients"
    client = shop.at.operator.make(path, {"scopes": ["transfers:write", *scopes]})
    return Till(shop, shop.at.session(client["client_id"], client["client_secret"]))
