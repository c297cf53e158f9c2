"""Audit packages: asked for, made by the worker, fetched as one archive, and verified with nothing but a public key."""

import io
import tarfile
from pathlib import Path

import pytest

from api.operations import OperationFailed, verify_export
from tests.api.promises import keep_promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop


@pytest.fixture(scope="module")
def busy_shop(shared_shop: Shop) -> Shop:
    """A shop in whose books every kind of movement stands."""
    checkout = shared_shop.captured(2_000)
    shared_shop.api.make(
        f"/v1/checkouts/{checkout['id']}/refunds", {"lines": [{"id": "room", "amount_minor": 500}]}
    )
    shared_shop.authorised(1_000)
    return shared_shop


def exported(shop: Shop) -> Json:
    wish = shop.api.make("/v1/exports")
    keep_promises(shop.at.parts)
    return shop.api.read(f"/v1/exports/{wish['id']}")


def unpacked(shop: Shop, export: Json, into: Path) -> Path:
    answer = shop.api.get(f"/v1/exports/{export['id']}/package")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert all(member.isfile() and "/" not in member.name for member in archive)
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            (into / member.name).write_bytes(content.read())
    return into


@pytest.fixture(scope="module")
def package(busy_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(busy_shop, exported(busy_shop), tmp_path_factory.mktemp("package"))


def test_export_is_made_and_verifies_with_the_public_key_alone(busy_shop: Shop, package: Path) -> None:
    found = verify_export(package, busy_shop.at.token.public_keys / "report-v1.pem")

    assert found.programme_id == busy_shop.programme_id
    assert found.origin == f"tallystick.dev/{busy_shop.name}"
    assert (package / f"{busy_shop.name}.journal").exists()


def test_api_shows_the_key_that_an_export_verifies_with(
    busy_shop: Shop, package: Path, tmp_path: Path
) -> None:
    key = tmp_path / "report-v1.pem"
    key.write_text(busy_shop.api.read("/v1/public-keys")["data"]["report"]["pem"])

    assert verify_export(package, key).programme_id == busy_shop.programme_id


@pytest.mark.parametrize(
    "name",
    ["entries.csv", "transfers.csv", "accounts.csv", "manifest.json", "manifest.sig", "checkpoint.txt"],
)
def test_flipped_byte_is_found_in_every_file(
    busy_shop: Shop, package: Path, tmp_path: Path, name: str
) -> None:
    for path in package.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)

    with pytest.raises(OperationFailed, match="does not verify"):
        verify_export(tmp_path, busy_shop.at.token.public_keys / "report-v1.pem")


def test_export_that_is_not_made_yet_has_no_package(busy_shop: Shop) -> None:
    wish = busy_shop.api.make("/v1/exports")

    assert busy_shop.api.read(f"/v1/exports/{wish['id']}")["state"] == "requested"
    refused(busy_shop.api.get(f"/v1/exports/{wish['id']}/package"), 404, "not_found")
    keep_promises(busy_shop.at.parts)
    assert busy_shop.api.get(f"/v1/exports/{wish['id']}/package").status_code == 200


def test_books_in_which_nothing_has_happened_can_be_exported(busy_shop: Shop, tmp_path: Path) -> None:
    quiet = open_shop(busy_shop.at)

    package = unpacked(quiet, exported(quiet), tmp_path)

    found = verify_export(package, quiet.at.token.public_keys / "report-v1.pem")
    assert found.entries == found.accounts  # that they were opened, and no more


def test_later_export_holds_the_earlier_one(busy_shop: Shop, package: Path, tmp_path: Path) -> None:
    busy_shop.authorised(1_000)

    later = unpacked(busy_shop, exported(busy_shop), tmp_path)

    earlier_rows = (package / "entries.csv").read_text().splitlines()
    assert set(earlier_rows) < set((later / "entries.csv").read_text().splitlines())
