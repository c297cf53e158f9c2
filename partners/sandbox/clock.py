"""The bank's test clock: wall time plus an offset that a developer moves forward.

It may go back only while the bank has no account yet: what has been booked cannot become the future.

Business (hours, value dates, statements) runs on this clock. What belongs to the wire (request times,
webhook retries, how long a request id is remembered) stays on wall time.
"""

from datetime import UTC, datetime, timedelta


class BankClock:
    """Wall time plus an offset; ticks by itself."""

    def __init__(self, offset: timedelta) -> None:
        self._offset = offset

    def now(self) -> datetime:
        """The bank's present moment, in UTC."""
        return datetime.now(UTC) + self._offset

    def offset_to(self, moment: datetime) -> timedelta:
        """The offset that would make the clock show `moment` now."""
        return moment - datetime.now(UTC)

    def move(self, offset: timedelta) -> None:
        """Run on a new offset, which the caller has made durable."""
        self._offset = offset


def wall_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A moment as UTC text of fixed width, so that text order is time order."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def read_stamp(text: str) -> datetime:
    """An ISO 8601 moment as UTC; without an offset it is taken as UTC, as the bank's documents do.

    Raises: ValueError when the text is no moment.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
