"""The log over HTTP: whoever keeps a checkpoint can prove what stands under it, and that the log only grew."""

import base64
import secrets
from dataclasses import dataclass

import pytest

from api.jobs import Jobs
from enclave.notes import verify_checkpoint
from ledger.core.ids import ProgrammeId
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.store.programmes import read_programmes
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop

NOBODY = f"xfr_{'0' * 32}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A shop with two checkpoints, a transfer under both, one under the later, and one that is not sealed yet."""

    shop: Shop
    older: Json
    newer: Json
    early: str
    late: str
    unsealed: str


@pytest.fixture(scope="module")
def sealed(shared_shop: Shop) -> Sealed:
    early = transfer_of(shared_shop.authorised(1_000), shared_shop)
    older = sealed_now(shared_shop)
    late = transfer_of(shared_shop.authorised(1_100), shared_shop)
    newer = sealed_now(shared_shop)
    unsealed = transfer_of(shared_shop.authorised(1_200), shared_shop)
    return Sealed(shared_shop, older, newer, early, late, unsealed)


def transfer_of(checkout: Json, shop: Shop) -> str:
    """The transfer that authorising a cart made: the newest one on the payer's account."""
    assert checkout["state"] == "authorised"
    version = shop.account(shop.ana)["version"]
    page = shop.api.read(f"/v1/accounts/{shop.ana['account_id']}/entries?after={version - 1}")
    return str(page["data"][0]["transfer_id"])


def sealed_now(shop: Shop) -> Json:
    """The checkpoint over everything that was posted so far."""
    parts = shop.at.parts
    with parts.transactions() as tx:
        (programme,) = read_programmes(tx, [ProgrammeId(shop.programme_id)]).values()
    Jobs(parts).seal(programme)
    return shop.api.read("/v1/log/checkpoint")


def raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def nodes(answer: Json) -> list[bytes]:
    return [raw(node) for node in answer["proof"]]


def test_latest_checkpoint_is_signed_by_the_enclave(sealed: Sealed) -> None:
    shop = sealed.shop
    key = shop.api.read("/v1/public-keys")["data"]["checkpoint"]["pem"]

    found = verify_checkpoint(sealed.newer["note"], origin=f"tallystick.dev/{shop.name}", public_key_pem=key)

    assert (found.size, found.root) == (sealed.newer["size"], raw(sealed.newer["root"]))
    assert sealed.newer["size"] > sealed.older["size"] > 0


def test_every_checkpoint_that_was_signed_can_be_asked_for_again(sealed: Sealed) -> None:
    for checkpoint in (sealed.older, sealed.newer):
        assert sealed.shop.api.read(f"/v1/log/checkpoints/{checkpoint['size']}") == checkpoint


@pytest.mark.parametrize("size", ["older", "newer", None])
def test_transfer_is_proved_under_a_checkpoint(sealed: Sealed, size: str | None) -> None:
    checkpoint = sealed.newer if size is None else getattr(sealed, size)
    query = "" if size is None else f"?size={checkpoint['size']}"

    answer = sealed.shop.api.read(f"/v1/log/transfers/{sealed.early}/proof{query}")

    assert answer["checkpoint"] == checkpoint
    assert f'"id":"{sealed.early}"' in answer["fact"]
    assert leaf_hash(answer["fact"].encode()) == raw(answer["leaf_hash"])
    assert verify_inclusion(
        leaf=raw(answer["leaf_hash"]),
        index=answer["position"],
        size=checkpoint["size"],
        proof=nodes(answer),
        expected_root=raw(checkpoint["root"]),
    )


def test_log_is_proved_to_have_grown_only(sealed: Sealed) -> None:
    older, newer = sealed.older, sealed.newer

    for query in (f"from={older['size']}&to={newer['size']}", f"from={older['size']}"):
        answer = sealed.shop.api.read(f"/v1/log/consistency?{query}")

        assert (answer["from"], answer["to"]) == (older, newer)
        assert verify_consistency(
            old_size=older["size"],
            old_root=raw(older["root"]),
            new_size=newer["size"],
            new_root=raw(newer["root"]),
            proof=nodes(answer),
        )


def test_log_begins_with_itself(sealed: Sealed) -> None:
    size = sealed.newer["size"]

    assert sealed.shop.api.read(f"/v1/log/consistency?from={size}&to={size}")["proof"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/log/checkpoints/{beyond}",
        "/v1/log/checkpoints/9007199254740992",
        "/v1/log/checkpoints/-1",
        "/v1/log/transfers/{late}/proof?size={older}",
        "/v1/log/transfers/{unsealed}/proof",
        "/v1/log/transfers/{early}/proof?size={beyond}",
        f"/v1/log/transfers/{NOBODY}/proof",
        "/v1/log/transfers/nothing/proof",
        "/v1/log/consistency?from={beyond}",
        "/v1/log/consistency?from={older}&to={beyond}",
    ],
)
def test_what_is_not_in_the_log_is_not_found(sealed: Sealed, path: str) -> None:
    named = {
        "beyond": sealed.newer["size"] + 1,
        "older": sealed.older["size"],
        "early": sealed.early,
        "late": sealed.late,
        "unsealed": sealed.unsealed,
    }

    refused(sealed.shop.api.get(path.format(**named)), 404, "not_found")


def test_older_checkpoint_is_the_smaller_one(sealed: Sealed) -> None:
    path = f"/v1/log/consistency?from={sealed.newer['size']}&to={sealed.older['size']}"

    refused(sealed.shop.api.get(path), 422, "invalid_value", "from")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/log/checkpoints/latest", "size"),
        ("/v1/log/consistency", "from"),
        ("/v1/log/consistency?from=-1", "from"),
        ("/v1/log/consistency?from=1&to=1.5", "to"),
        (f"/v1/log/transfers/{NOBODY}/proof?size=9007199254740992", "size"),
    ],
)
def test_size_is_a_whole_number_from_zero(sealed: Sealed, path: str, field: str) -> None:
    refused(sealed.shop.api.get(path), 422, "invalid_request", field)


def test_programme_without_a_checkpoint_has_none_to_give(sealed: Sealed) -> None:
    other = open_shop(sealed.shop.at)

    refused(other.api.get("/v1/log/checkpoint"), 404, "not_found")


def test_log_of_another_programme_proves_nothing_of_ours(sealed: Sealed) -> None:
    other = open_shop(sealed.shop.at)
    theirs = sealed_now(other)

    refused(other.api.get(f"/v1/log/transfers/{sealed.early}/proof"), 404, "not_found")
    assert theirs["root"] not in {sealed.older["root"], sealed.newer["root"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/log/checkpoint",
        "/v1/log/checkpoints/1",
        f"/v1/log/transfers/{NOBODY}/proof",
        "/v1/log/consistency?from=1",
    ],
)
def test_log_is_read_with_the_scope_of_reports(sealed: Sealed, path: str) -> None:
    shop = sealed.shop
    payments_only = shop.at.session(shop.client_id, shop.secret, "payments")

    refused(payments_only.get(path), 403, "scope_missing")
    refused(shop.at.http.get(path), 401, "token_missing")
    refused(
        shop.at.http.get(path, headers={"Authorization": f"Bearer {secrets.token_hex(8)}"}),
        401,
        "token_invalid",
    )
