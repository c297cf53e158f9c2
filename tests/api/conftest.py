"""One installation for all tests of the API; each test founds programmes of its own where it changes anything."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from api.database import engine
from api.embedded import EmbeddedPostgres
from tests.api.installation import Installation, installed
from tests.api.wire import Wire
from tests.api.world import Shop, open_shop
from tests.conftest import Database
from tests.enclave.conftest import empty_token
from tests.enclave.process import SoftHsmToken
from tests.partners.sandbox.bank_process import BankProcess


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsmToken:
    """A PKCS#11 token with its keys."""
    made = empty_token(tmp_path_factory.mktemp("token"))
    done = made.hold_ceremony()
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def installation(
    tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres, token: SoftHsmToken
) -> Iterator[Installation]:
    """Everything that a caller of the API speaks to, and what stands behind it."""
    with installed(
        tmp_path_factory.mktemp("api"), postgres, token, BankProcess(instant_delay_seconds=0.0)
    ) as made:
        yield made


@pytest.fixture(scope="session")
def other_days(
    tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres, token: SoftHsmToken
) -> Iterator[Installation]:
    """An installation for the few tests that turn the calendar: days go by in it."""
    with installed(
        tmp_path_factory.mktemp("days"), postgres, token, BankProcess(instant_delay_seconds=0.0)
    ) as made:
        yield made


@pytest.fixture
def shop(installation: Installation) -> Shop:
    """A programme of this test's own; Ana has EUR 500.00."""
    return open_shop(installation).fund(50_000)


@pytest.fixture(scope="module")
def shared_shop(installation: Installation) -> Shop:
    """A programme for tests that must not change anything; Ana has EUR 500.00."""
    return open_shop(installation).fund(50_000)


@pytest.fixture
def wire(database: Database) -> Iterator[Wire]:
    """The way to the database, which can be cut."""
    with Wire(database.url("tallystick_app")) as made:
        yield made


@pytest.fixture
def wired(wire: Wire) -> Iterator[sa.Engine]:
    """A pool whose connections can be cut."""
    made = engine(wire.url)
    yield made
    made.dispose()
