"""A thousand versions of one key on the token and in one resolution: the enclave starts as if they were few."""

import json
import time
from pathlib import Path

import pytest

from enclave.drafts import DraftedResolutions
from enclave.keys import Purpose, algorithm_of
from enclave.notes import verify_checkpoint
from enclave.registration import put_in_force
from enclave.resolutions import AdmitKey, instant_text
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions
from tests.conftest import Database
from tests.enclave.council import NOON, SECOND
from tests.enclave.logs import make_log, root_of
from tests.enclave.modules import copy_of, printed
from tests.enclave.process import PIN, TOKEN_LABEL, SoftHsmToken

VERSIONS = 1000
# A search a key took more than a minute. Machines differ, and other tests run beside this one.
START_S_MAX = 20
MAKE = f"""
import json
from pathlib import Path
from enclave.backends.pkcs11 import Pkcs11Keys, find_token, log_in
from enclave.ceremony import _generate
from enclave.keys import KeyAddress, Purpose
from enclave.pin import Pin
session = log_in(find_token(Path("{{module}}"), "{TOKEN_LABEL}"), Pin("{PIN}"), may_write=True)
versions = [KeyAddress(Purpose.CHECKPOINT, version=number) for number in range(2, {VERSIONS} + 1)]
for address in versions:
    _generate(session, address)
keys = Pkcs11Keys(session)
keys.stock()
print(json.dumps([[str(key.address), key.sha256, key.public_key_pem] for key in map(keys.open, versions)]))
"""


def admissions(made: list[list[str]]) -> list[AdmitKey]:
    """Each begins a second after the one before."""
    return [
        AdmitKey(
            key_id=key_id,
            algorithm=str(algorithm_of(Purpose.CHECKPOINT)),
            sha256=sha256,
            public_key_pem=pem,
            not_before=instant_text(NOON - (VERSIONS - number) * SECOND),
        )
        for number, (key_id, sha256, pem) in enumerate(made)
    ]


@pytest.mark.slow
def test_an_enclave_with_a_thousand_versions_starts_and_signs(
    token: SoftHsmToken, database: Database, tmp_path: Path
) -> None:
    own = copy_of(token, tmp_path / "own")
    [line] = printed(own, MAKE)
    made = json.loads(line)
    resolved = DraftedResolutions(own.resolved(tmp_path / "resolutions", *admissions(made)))
    with DatabaseResolutions(database.url("tallystick_custodian")) as resolutions:
        for draft in resolved.all():
            put_in_force(resolutions, draft, read_roster(own.custodians.read_bytes()))

    origin = make_log(database, 1)
    begun_s = time.monotonic()
    url = database.url("tallystick_enclave")
    with own.serving(tmp_path, resolutions=None, database_url=url) as enclave, enclave.client() as client:
        took_s = time.monotonic() - begun_s
        versions = client.key_versions("checkpoint")
        signed = client.checkpoint(origin=origin, size=1, root=root_of(1))
        assert client.load_keys().ready == len(Purpose) + VERSIONS - 1

    assert took_s < START_S_MAX
    assert [key.key_id for key in versions] == [f"checkpoint/v{number}" for number in range(1, VERSIONS + 1)]
    assert signed.key_id == f"checkpoint/v{VERSIONS}"
    assert verify_checkpoint(signed.note, origin=origin, public_key_pem=made[-1][2]).size == 1
