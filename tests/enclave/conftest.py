"""A SoftHSM2 token for the run, its keys made in a real ceremony. Without SoftHSM2 the tests fail."""

import subprocess
from pathlib import Path

import pytest

from enclave.softhsm import find_module, write_configuration
from tests.conftest import Database
from tests.enclave.payouts import good_record
from tests.enclave.process import SoftHsmToken
from tests.enclave.stock import make_table, store_row


def empty_token(directory: Path) -> SoftHsmToken:
    configuration = write_configuration(directory / "softhsm")
    return SoftHsmToken(module=find_module(), configuration=configuration, directory=directory)


@pytest.fixture
def bare_token(tmp_path: Path) -> SoftHsmToken:
    """A SoftHSM2 directory in which nothing has been made yet."""
    return empty_token(tmp_path)


@pytest.fixture(scope="session")
def ceremony(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SoftHsmToken, subprocess.CompletedProcess[str]]:
    token = empty_token(tmp_path_factory.mktemp("token"))
    done = token.hold_ceremony()
    assert done.returncode == 0, done.stderr
    return token, done


@pytest.fixture(scope="session")
def token(ceremony: tuple[SoftHsmToken, subprocess.CompletedProcess[str]]) -> SoftHsmToken:
    """A token with its keys."""
    return ceremony[0]


@pytest.fixture
def stocked(database: Database) -> Database:
    """A database with one payout that may be signed."""
    make_table(database)
    store_row(database, good_record())
    return database
