"""What the person who starts the bank may choose. Everything else is the bank's own affair."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSettings:
    """The bank's start-up choices.

    Units: every `_s` is in seconds; `webhook_retry_s` and `webhook_answer_s` are wall time, the other
    two run on the bank's test clock (which ticks with wall time between two settings of it).
    """

    home: Path
    port: int = 0
    webhook_retry_s: float = 1.0
    webhook_answer_s: float = 5.0
    webhook_attempts_max: int = 96
    settle_s: float = 0.0
    instant_delay_s: float = 1.0
    statement_page_entries: int = 5_000

    @property
    def database_path(self) -> Path:
        return self.home / "bank.sqlite3"

    @property
    def key_path(self) -> Path:
        return self.home / "webhook-key.pem"

    @property
    def previous_key_path(self) -> Path:
        return self.home / "webhook-key-previous.pem"

    @property
    def notice_path(self) -> Path:
        """Where the bank writes its address once it listens."""
        return self.home / "bank.json"
