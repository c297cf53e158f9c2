"""Custodians who meet while an enclave serves: they rotate and retire keys by its own commands, in its database."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.custodians import agree
from enclave.keys import Purpose
from enclave.resolutions import instant_text
from tests.enclave.process import SoftHsmToken

SINCE_EVER = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Council:
    """The custodians of a token; `database_url` is for the role that may add resolutions."""

    token: SoftHsmToken
    database_url: str
    draft: Path

    def admit_first_keys(self) -> None:
        """What was drafted in the ceremony comes into force."""
        shutil.copy(self.token.resolutions / "0001.json", self.draft)
        self._agree()

    def rotate(self, purpose: Purpose, *, not_before: datetime = SINCE_EVER) -> None:
        """The next version of a key is made and admitted; unless said otherwise, it is used as soon as it is loaded."""
        when, keys = instant_text(not_before), str(self.token.public_keys)
        self._draft("rotate", "--purpose", purpose, "--not-before", when, "--public-keys", keys, logs_in=True)
        self._agree()

    def retire(self, key_id: str, *, verify_until: datetime) -> None:
        """A key does nothing new from now on, and what it did counts until then."""
        self._draft("retire", "--key", key_id, "--verify-until", instant_text(verify_until))
        self._agree()

    def _draft(self, command: str, *said: str, logs_in: bool = False) -> None:
        known = ("--custodians", str(self.token.custodians), "--database-url", self.database_url)
        done = self.token.command(command, *said, *known, "--draft", str(self.draft), logs_in=logs_in)
        assert done.returncode == 0, done.stderr

    def _agree(self) -> None:
        agree(self.draft, self.token.custodians_home, self.database_url)
