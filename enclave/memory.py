"""What the enclave remembers of what it signed, as far as policy asks; gathered from the log at the start.

A round of requests is decided on a branch, so that each sees what the ones before it did; the branch joins
the memory once its records are on the disk, and is dropped if they are not. Holds no keys and does no I/O.
"""

from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime

from enclave.log import EntryKind, LogEntry, LogRecord
from enclave.notes import ROOT_BYTES, Checkpoint
from enclave.resolutions import EMPTY, Head
from enclave.spending import Purse, Spending, Window

CARDS = "cards"
_BEGINNING = datetime.min.replace(tzinfo=UTC)
# What was signed before there was a choice.
_FIRST_SCHEME = "body_rsa_sha256"


@dataclass(frozen=True, slots=True)
class SignedPayout:
    """How a payout was signed: the SHA-256 of its body and of its target, in hex, and by which scheme."""

    digest: str
    scheme: str
    target: str | None


class Memory:
    """Which body was signed for each payout, what was signed away lately, and the last checkpoint of each origin."""

    def __init__(
        self,
        payouts: MutableMapping[str, SignedPayout] | None = None,
        checkpoints: MutableMapping[str, Checkpoint] | None = None,
        spending: Spending | None = None,
        latest: datetime = _BEGINNING,
        resolved: Head = EMPTY.head,
        starts: int = 0,
    ) -> None:
        self._payouts = {} if payouts is None else payouts
        self._checkpoints = {} if checkpoints is None else checkpoints
        self._spending = Spending() if spending is None else spending
        self._latest = latest
        self._resolved = resolved
        self._starts = starts

    def take(self, record: LogRecord) -> None:
        """Note what the next record of a log bears witness to.

        Raises:
            ValueError, TypeError, OverflowError: it does not tell what one of its kind does, or is of no time.
        """
        self.remember(record.entry, at=datetime.fromisoformat(record.at))

    @property
    def latest(self) -> datetime:
        """The latest time of anything in the log: no clock should be behind it."""
        return self._latest

    @property
    def resolved(self) -> Head:
        """The last of the custodians' resolutions that was seen in force."""
        return self._resolved

    @property
    def starts(self) -> int:
        """How often an enclave was started on this log."""
        return self._starts

    def signed_payout(self, payout_id: str) -> SignedPayout | None:
        """How a payout was signed, if it was."""
        return self._payouts.get(payout_id)

    def spent(self, purse: Purse, window: Window, *, now: datetime) -> int:
        """What was signed away of a purse in the window that ends now. Units: minor units."""
        return self._spending.within(purse, window, now=now)

    def last_checkpoint(self, origin: str) -> Checkpoint | None:
        """The last checkpoint signed for an origin, if one was."""
        return self._checkpoints.get(origin)

    def branch(self) -> "Memory":
        """A memory that begins with this one and does not change it."""
        return Memory(
            payouts=ChainMap({}, self._payouts),
            checkpoints=ChainMap({}, self._checkpoints),
            spending=Spending(self._spending),
            latest=self._latest,
            resolved=self._resolved,
            starts=self._starts,
        )

    def join(self, entries: Iterable[LogEntry], *, at: datetime) -> None:
        """Take over what has become durable."""
        for entry in entries:
            self.remember(entry, at=at)

    def remember(self, entry: LogEntry, *, at: datetime) -> None:
        """Note what an entry says was granted; refusals and failures leave nothing but their time here."""
        # A clock that was put back since does not make the past shorter.
        self._latest = at = max(at, self._latest)
        if entry.kind is EntryKind.KEYS_LOADED:
            self._resolved = Head(entry.number("number"), entry.text("sha256"))
        self._starts += entry.kind is EntryKind.STARTED
        if entry.kind is not EntryKind.GRANTED:
            return
        match entry.purpose:
            case "payout":
                self._remember_payout(entry, at)
            case "checkpoint":
                self._remember_checkpoint(entry)
            case "card_seal":
                self._spending.note(cards_of(entry.text("programme_id")), 1, at=at)
            case _:
                pass

    def _remember_payout(self, entry: LogEntry, at: datetime) -> None:
        payout_id = entry.text("payout_id")
        if payout_id not in self._payouts:
            # Older records name the programme alone.
            account = entry.text("debtor" if "debtor" in entry.facts else "programme_id")
            self._spending.note(Purse(account, entry.text("currency")), entry.number("amount_minor"), at=at)
        self._payouts[payout_id] = SignedPayout(
            digest=entry.text("digest"),
            scheme=entry.text("scheme") if "scheme" in entry.facts else _FIRST_SCHEME,
            target=None if entry.facts.get("target") is None else entry.text("target"),
        )

    def _remember_checkpoint(self, entry: LogEntry) -> None:
        origin, root = entry.text("origin"), bytes.fromhex(entry.text("root"))
        if len(root) != ROOT_BYTES:
            raise ValueError("root is none")
        self._checkpoints[origin] = Checkpoint(origin=origin, size=entry.number("size"), root=root)


def cards_of(programme_id: str) -> Purse:
    """The purse that a programme takes new cards from: one each."""
    return Purse(programme_id, CARDS)
