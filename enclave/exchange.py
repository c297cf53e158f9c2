"""Whether the token still holds the keys with which the log's last process signed.

An old copy of a token can be put back, or another token under the same name, as well as an old log. The log says at
each start which keys there were, so that the next start can look: a key id that has another public key than before is
no key of ours, and nothing is signed with it. Whoever had to make keys anew says so, by the new key's SHA-256, and it
is logged. Keys that are missing altogether are found missing when the token is opened.
Reads the log, decides nothing about requests.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from enclave.keys import KeyBackend, KeyBackendFailure, Purpose, current_key, fingerprint
from enclave.log import EntryKind, LogEntry, LogFacts, SigningLog


class KeysExchanged(KeyBackendFailure):
    """The token holds other keys under the same ids than it did at the last start."""


def refuse_exchanged_keys(
    log: SigningLog, keys: KeyBackend, *, accepted: Collection[str], now: datetime
) -> None:
    """Return if every key is the one that was there at the last start, or was named as accepted by its SHA-256.

    Raises:
        KeysExchanged: naming the keys; so does the log.
        LogUnavailable: what was found cannot be recorded.
    """
    present = {str(current_key(purpose)): fingerprint(keys.public_key_pem(purpose)) for purpose in Purpose}
    last = _last_start(log)
    exchanged = _exchanged(last.keys, present)
    entries = [_entry(facts, accepted) for facts in exchanged]
    # A supervisor may try again every few seconds: what was said since the last start is not said again.
    log.append([entry for entry in entries if entry not in last.told_since], at=now)
    refused = [str(facts["key_id"]) for facts in exchanged if facts["is"] not in accepted]
    if refused:
        raise KeysExchanged(f"keys exchanged: {', '.join(refused)} not the same as at the last start")


@dataclass(frozen=True, slots=True)
class _LastStart:
    """Key ids and fingerprints as the last process to start recorded them, and what was found about keys since."""

    keys: LogFacts
    told_since: tuple[LogEntry, ...] = ()


def _last_start(log: SigningLog) -> _LastStart:
    last = _LastStart(keys={})
    for record in log.records():
        match record.entry.kind:
            case EntryKind.STARTED:
                last = _LastStart(keys=record.entry.facts)
            case EntryKind.KEY_EXCHANGED | EntryKind.KEY_ACCEPTED:
                last = replace(last, told_since=(*last.told_since, record.entry))
            case _:
                pass
    return last


def _exchanged(before: LogFacts, present: Mapping[str, str]) -> list[LogFacts]:
    return [
        {"key_id": key_id, "was": before[key_id], "is": found}
        for key_id, found in present.items()
        if key_id in before and before[key_id] != found
    ]


def _entry(facts: LogFacts, accepted: Collection[str]) -> LogEntry:
    kind = EntryKind.KEY_ACCEPTED if facts["is"] in accepted else EntryKind.KEY_EXCHANGED
    return LogEntry(kind=kind, purpose="keys", facts=facts)
