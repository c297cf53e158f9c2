"""An example of every reason for which the desk for cards refuses, told by the real signer over software keys."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from enclave.log import read_log
from enclave.logbook import Logbook
from enclave.refusals import RefusalCode
from enclave.seal_count import SEALS_MAX
from enclave.signer import Letter, Peer
from tests.enclave.cards import (
    CARD_ID,
    NOW,
    PROCESSOR,
    PROGRAMME_ID,
    RECIPIENTS,
    card_keys,
    card_ring,
    card_text,
    encrypted,
    row_message,
    seal_message,
    vault_of,
)
from tests.enclave.mutations import Members, datagram
from tests.enclave.signers import signer_on


@dataclass(frozen=True, slots=True)
class CardSituation:
    """What is asked, which version of the vault's key seals, and how often it has."""

    message: Members
    version: int = 1
    seals: int = 0

    def code(self, directory: Path) -> str | None:
        """What the message is told, and what the log has of it; None if it is answered."""
        path = directory / "signing.log"
        with Logbook.open(path, now=NOW) as logbook:
            # Nobody writes 2^32 records first.
            logbook.seals._seals[f"card_vault/v{self.version}"] = self.seals
            signer = signer_on(
                logbook,
                keyring=card_ring(KEYS, vault=self.version),
                clock=lambda: NOW,
                recipients=RECIPIENTS,
            )
            answer = signer.answer([Letter(Peer(pid=1, uid=0), datagram(self.message))])[0]
        code = RefusalCode(json.loads(answer)["refusal"]) if b'"refusal"' in answer else None
        assert list(read_log(path))[-1].entry.facts.get("code") == code
        return code


KEYS = card_keys()
JWE = encrypted(KEYS)
STORED = vault_of(KEYS).seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=JWE, now=NOW)
SEAL = seal_message(JWE)
RESEAL = row_message("card_reseal", STORED)
FORWARD = row_message("card_forward", STORED, recipient=PROCESSOR)
ANSWERED = [CardSituation(SEAL), CardSituation(RESEAL, version=2), CardSituation(FORWARD)]


def _carrying(**changes: Any) -> CardSituation:
    """A card that says something else."""
    return CardSituation(seal_message(encrypted(KEYS, card_text(**changes))))


CARD_EXAMPLES: Mapping[RefusalCode, Sequence[CardSituation]] = {
    RefusalCode.CARD_RECIPIENT_UNKNOWN: [CardSituation(FORWARD | {"recipient": "elsewhere"})],
    RefusalCode.CARD_UNREADABLE: [
        CardSituation(seal_message(JWE[:-1])),
        CardSituation(seal_message("4111111111111111")),
    ],
    RefusalCode.CARD_KEY_UNKNOWN: [
        CardSituation(seal_message(encrypted(KEYS, version=2))),
        CardSituation(row_message("card_reseal", replace(STORED, key_id="card_vault/v9"))),
    ],
    RefusalCode.CARD_FIELDS_REFUSED: [_carrying(cvv="123")],
    RefusalCode.CARD_NUMBER_REFUSED: [_carrying(pan="4111111111111112")],
    RefusalCode.CARD_EXPIRED: [_carrying(expiry_year=2025)],
    RefusalCode.CARD_CONTEXT_MISMATCH: [
        CardSituation(FORWARD | {"programme_id": f"prg_{2:032x}"}),
        CardSituation(row_message("card_reseal", replace(STORED, last_four="1112")), version=2),
    ],
    RefusalCode.CARD_KEY_WORN_OUT: [CardSituation(SEAL, seals=SEALS_MAX)],
}
