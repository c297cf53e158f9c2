"""`tallystick serve` on a PostgreSQL that somebody else runs."""

from pathlib import Path

import httpx
import pytest

from api.embedded import EmbeddedPostgres
from api.settings import DatabaseUrls
from api.stack import Stack, StackFailed, lock_home

pytestmark = pytest.mark.story


def test_a_database_url_replaces_the_embedded_server(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    name = "somebody_elses"
    postgres.create_database(name)
    urls = DatabaseUrls(
        *(postgres.url(f"tallystick_{role}", name) for role in ("owner", "app", "enclave", "custodian"))
    )
    stack = Stack(tmp_path / "home", databases=urls)

    stack.start()
    try:
        answer = httpx.get(f"{stack.api_url}/healthz", trust_env=False)
    finally:
        stack.stop()

    assert answer.json() == {"status": "ok"}
    assert not (tmp_path / "home" / "postgres").exists()
    assert postgres.running()


def test_a_second_launcher_leaves_the_first_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with lock_home(home), pytest.raises(StackFailed, match="already running"):
        Stack(home).start()
