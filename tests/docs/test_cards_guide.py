"""The guide's way to encrypt a card, run as it stands, against the vault."""

import re
from collections.abc import Callable
from pathlib import Path

from enclave.jwe import jwk_of, p256_public_key
from tests.enclave.cards import (
    AMEX,
    CARD_ID,
    MAESTRO_19,
    NOW,
    PROGRAMME_ID,
    VISA,
    card_keys,
    intake_of,
    vault_of,
)

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "checkout.md"


def encrypt_card() -> Callable[[dict[str, object], str, int, int], str]:
    """The function that the guide writes down, from a namespace of its own."""
    section = GUIDE.read_text("utf-8").partition("## Cards\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Callable[[dict[str, object], str, int, int], str]] = {}
    exec(compile(block, str(GUIDE), "exec"), namespace)  # noqa: S102  # it is ours, and what readers run
    return namespace["encrypt_card"]


def test_a_card_that_was_encrypted_as_the_guide_says_is_taken_in() -> None:
    keys = card_keys()
    intake = intake_of(keys)
    jwk = {**jwk_of(p256_public_key(intake.pem)), "kid": intake.key_id, "use": "enc", "alg": "ECDH-ES"}

    for number in (VISA, AMEX, MAESTRO_19):
        jwe = encrypt_card()(jwk, number, 12, 2028)
        stored = vault_of(keys).seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=jwe, now=NOW)
        assert stored.last_four == number[-4:]
