"""The card vault: what goes in comes out only to a processor, and only where it was put."""

import json
import traceback
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.card_number import CardNumberRefused, checked_number, has_check_digit, read_card
from enclave.card_recipients import RecipientRefused, read_recipients
from enclave.card_vault import NONCE_BYTES, CardRefused, StoredCard
from enclave.jwe import decrypt
from enclave.log import EntryKind, LogEntry
from enclave.refusals import RefusalCode
from enclave.seal_count import SEALED_UNDER, SEALS_MAX, SealCount
from tests.enclave.cards import (
    AMEX,
    CARD_ID,
    MAESTRO_19,
    NOW,
    PROCESSOR,
    PROCESSOR_KEY,
    PROGRAMME_ID,
    VISA,
    NotedKeys,
    card_keys,
    card_text,
    encrypted,
    pem_of,
    some_number,
    vault_of,
)

NUMBERS = st.builds(
    lambda seed, digits: some_number(Random(seed), digits=digits), st.integers(0, 2**32), st.integers(12, 19)
)


def put(keys: NotedKeys, text: bytes | None = None, *, version: int = 1, **said: str) -> StoredCard:
    names = {"programme_id": PROGRAMME_ID, "card_id": CARD_ID} | said
    return vault_of(keys, vault=version).seal(**names, jwe_text=encrypted(keys, text), now=NOW)


def refused(code: RefusalCode) -> "pytest.RaisesExc[CardRefused]":
    return pytest.raises(CardRefused, check=lambda error: error.code is code)


def forwarded(keys: NotedKeys, stored: StoredCard, *, version: int = 1) -> dict[str, object]:
    """What the processor reads."""

    def agree(point: bytes) -> bytes:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return PROCESSOR_KEY.exchange(ec.ECDH(), peer)

    jwe = vault_of(keys, vault=version).forward(stored, PROCESSOR)
    found: dict[str, object] = json.loads(decrypt(jwe, agree, key_id=PROCESSOR))
    return found


@given(number=NUMBERS)
def test_what_was_put_in_comes_out_at_the_processor(number: str) -> None:
    keys = card_keys()

    stored = put(keys, card_text(pan=number))

    assert forwarded(keys, stored) == {"expiry_month": 12, "expiry_year": 2028, "pan": number}


@given(number=NUMBERS)
def test_what_is_kept_shows_no_more_than_may_be_shown(number: str) -> None:
    stored = put(card_keys(), card_text(pan=number))

    assert stored.bin == number[:6]
    assert stored.last_four == number[-4:]
    kept = json.dumps(asdict(replace(stored, sealed=b"")), default=str) + stored.sealed.hex()
    assert number not in kept
    assert number.encode().hex() not in kept


def test_the_same_card_has_one_fingerprint_in_a_programme_and_another_elsewhere() -> None:
    keys = card_keys()
    first, again = put(keys), put(keys, card_id=f"crd_{2:032x}")
    elsewhere = put(keys, programme_id=f"prg_{2:032x}")
    other = put(keys, card_text(pan=AMEX))

    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, elsewhere.fingerprint, other.fingerprint}) == 3
    assert first.sealed != again.sealed


def test_a_fingerprint_outlives_the_key_that_seals() -> None:
    keys = card_keys()

    assert put(keys).fingerprint == put(keys, version=2).fingerprint


CHANGES = {
    "programme_id": f"prg_{2:032x}",
    "card_id": f"crd_{2:032x}",
    "bin": "411112",
    "last_four": "1112",
    "expiry_month": 11,
    "expiry_year": 2029,
    "fingerprint": "0" * 64,
    "key_id": "card_vault/v2",
}


def test_every_member_of_a_row_has_a_change() -> None:
    assert set(CHANGES) == {field.name for field in fields(StoredCard)} - {"sealed"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_sealed_card_does_not_open_beside_anything_else(name: str) -> None:
    keys = card_keys()
    moved = replace(put(keys), **{name: CHANGES[name]})

    with refused(RefusalCode.CARD_CONTEXT_MISMATCH):
        vault_of(keys, vault=2).forward(moved, PROCESSOR)
    with refused(RefusalCode.CARD_CONTEXT_MISMATCH):
        vault_of(keys, vault=2).reseal(moved)


def test_the_seal_of_another_row_does_not_open_in_this_one() -> None:
    keys = card_keys()
    one, other = put(keys), put(keys, card_id=f"crd_{2:032x}")

    with refused(RefusalCode.CARD_CONTEXT_MISMATCH):
        vault_of(keys).forward(replace(one, sealed=other.sealed), PROCESSOR)


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    keys = card_keys()
    stored = put(keys)
    spoilt = [stored.sealed[:length] for length in range(len(stored.sealed))]
    for bit in range(len(stored.sealed) * 8):
        flipped = bytearray(stored.sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        spoilt.append(bytes(flipped))

    for sealed in (*spoilt, stored.sealed + b"\0"):
        with refused(RefusalCode.CARD_CONTEXT_MISMATCH):
            vault_of(keys).forward(replace(stored, sealed=sealed), PROCESSOR)


def test_no_nonce_comes_twice() -> None:
    keys = card_keys()
    vault = vault_of(keys)
    jwe = encrypted(keys)

    sealed = [
        vault.seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=jwe, now=NOW).sealed
        for _ in range(3_000)
    ]

    assert len(set(keys.nonces)) == len(keys.nonces) == 3_000
    assert [one[:NONCE_BYTES] for one in sealed] == keys.nonces


def test_a_card_is_sealed_anew_under_the_current_key_and_is_the_same_card() -> None:
    keys = card_keys()
    stored = put(keys)

    anew = vault_of(keys, vault=2).reseal(stored)

    assert (stored.key_id, anew.key_id) == ("card_vault/v1", "card_vault/v2")
    assert replace(anew, key_id=stored.key_id, sealed=stored.sealed) == stored
    assert forwarded(keys, anew, version=2) == forwarded(keys, stored)


def test_a_card_under_the_current_key_stays_as_it_is() -> None:
    keys = card_keys()
    stored = put(keys)

    assert vault_of(keys).reseal(stored) == stored
    assert len(keys.nonces) == 1


def test_a_card_that_only_says_that_it_is_under_the_current_key_is_refused() -> None:
    keys = card_keys()
    under_the_first = put(keys)

    with refused(RefusalCode.CARD_CONTEXT_MISMATCH):
        vault_of(keys, vault=2).reseal(replace(under_the_first, key_id="card_vault/v2"))


@pytest.mark.parametrize("verb", ["reseal", "forward"])
def test_a_key_that_the_enclave_does_not_have_is_said(verb: str) -> None:
    keys = card_keys()
    stored = replace(put(keys), key_id="card_vault/v9")

    with refused(RefusalCode.CARD_KEY_UNKNOWN):
        vault_of(keys).reseal(stored) if verb == "reseal" else vault_of(keys).forward(stored, PROCESSOR)


def test_nobody_but_a_configured_recipient_gets_a_card() -> None:
    keys = card_keys()

    with refused(RefusalCode.CARD_RECIPIENT_UNKNOWN):
        vault_of(keys).forward(put(keys), "somebody-else")


@pytest.mark.parametrize(
    "text",
    [
        *(card_text(**{name: "123"}) for name in ("cvv", "cvc", "cvv2", "cid", "security_code", "track", "name")),
        card_text(cvv=None, cvc=""),
        card_text(pan=None),
        card_text(expiry_month=None),
        card_text(expiry_year=None),
        card_text(pan=int(VISA)),
        card_text(pan=[VISA]),
        card_text(expiry_month="12"),
        card_text(expiry_month=True),
        card_text(expiry_month=0),
        card_text(expiry_month=13),
        card_text(expiry_year=28),
        card_text(expiry_year=1999),
        card_text(expiry_year=2100),
        card_text() + b" ",
        card_text().replace(b":", b": "),
        card_text().replace(b'"pan"', b'"expiry_year":2028,"pan"'),
        card_text().replace(b"2028", b"2028.0"),
        card_text().replace(b"pan", b"p\\u0061n"),
        b"[" + card_text() + b"]",
        b'"4111111111111111"',
        VISA.encode(),
        b"\xff",
        b"{}",
    ],
)  # fmt: skip
def test_a_card_with_anything_else_in_it_is_refused(text: bytes) -> None:
    with refused(RefusalCode.CARD_FIELDS_REFUSED):
        put(card_keys(), text)


@pytest.mark.parametrize(
    "number",
    [
        "",
        "4111111111111112",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        " 4111111111111111",
        "4111111111111111\n",
        "41111111111",
        "4" + "0" * 19,
        "٤١١١١١١١١١١١١١١١",
        "４１１１１１１１１１１１１１１１",
        "4111111111111l11",
    ],
)
def test_what_is_no_number_is_refused(number: str) -> None:
    text = json.dumps(
        {"expiry_month": 12, "expiry_year": 2028, "pan": number}, separators=(",", ":")
    ).encode()

    with refused(RefusalCode.CARD_NUMBER_REFUSED):
        put(card_keys(), text)


@pytest.mark.parametrize("number", [VISA, AMEX, MAESTRO_19, "30569309025904", "6011000990139424"])
def test_the_schemes_test_numbers_have_their_check_digits(number: str) -> None:
    assert checked_number(number) == number


@given(number=NUMBERS, at=st.integers(0, 18), step=st.integers(1, 9))
def test_one_wrong_digit_is_noticed(number: str, at: int, step: int) -> None:
    place = at % len(number)
    wrong = number[:place] + str((int(number[place]) + step) % 10) + number[place + 1 :]

    assert not has_check_digit(wrong)
    with pytest.raises(CardNumberRefused):
        checked_number(wrong)


def test_a_card_is_good_until_its_month_is_over_everywhere() -> None:
    keys = card_keys()
    jwe = encrypted(keys, card_text(expiry_month=11, expiry_year=2026))
    first_of_december = datetime(2026, 12, 1, tzinfo=UTC)
    names = {"programme_id": PROGRAMME_ID, "card_id": CARD_ID}

    vault_of(keys).seal(**names, jwe_text=jwe, now=first_of_december + timedelta(hours=11, minutes=59))
    with refused(RefusalCode.CARD_EXPIRED):
        vault_of(keys).seal(**names, jwe_text=jwe, now=first_of_december + timedelta(hours=12))


def test_a_card_that_has_expired_can_still_be_sealed_anew() -> None:
    keys = card_keys()
    stored = put(keys, card_text(expiry_month=11, expiry_year=2026))

    assert vault_of(keys, vault=2).reseal(stored).key_id == "card_vault/v2"


def test_a_card_encrypted_to_a_key_that_is_none_of_ours_is_refused() -> None:
    keys = card_keys()

    with refused(RefusalCode.CARD_KEY_UNKNOWN):
        vault_of(keys).seal(
            programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=encrypted(keys, version=2), now=NOW
        )


@settings(max_examples=50)
@given(text=st.text(max_size=200))
def test_what_is_no_jwe_is_unreadable(text: str) -> None:
    with refused(RefusalCode.CARD_UNREADABLE):
        vault_of(card_keys()).seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=text, now=NOW)


def test_a_key_is_worn_out_after_its_last_seal_and_goes_on_opening() -> None:
    keys, seals = card_keys(), SealCount()
    seals._seals["card_vault/v1"] = SEALS_MAX - 1
    vault = vault_of(keys, seals=seals)

    stored = vault.seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=encrypted(keys), now=NOW)

    with refused(RefusalCode.CARD_KEY_WORN_OUT):
        vault.seal(programme_id=PROGRAMME_ID, card_id=CARD_ID, jwe_text=encrypted(keys), now=NOW)
    assert vault.forward(stored, PROCESSOR)
    assert vault_of(keys, vault=2, seals=seals).reseal(stored).key_id == "card_vault/v2"


def test_seals_are_counted_by_what_the_log_grants() -> None:
    counted = SealCount()
    for kind, facts in (
        (EntryKind.GRANTED, {SEALED_UNDER: "card_vault/v1"}),
        (EntryKind.GRANTED, {SEALED_UNDER: "card_vault/v2"}),
        (EntryKind.GRANTED, {SEALED_UNDER: "card_vault/v1"}),
        (EntryKind.GRANTED, {"key_id": "card_vault/v1"}),
        (EntryKind.REFUSED, {SEALED_UNDER: "card_vault/v1"}),
    ):
        counted.remember(LogEntry(kind=kind, purpose="card_seal", facts=facts))

    assert (counted.of("card_vault/v1"), counted.of("card_vault/v2"), counted.of("other")) == (2, 1, 0)


@pytest.mark.parametrize("text", [card_text(cvv="737"), card_text(pan=VISA[:-1] + "2"), card_text()[:-1]])
def test_no_number_stands_in_an_error_or_its_traceback(text: bytes) -> None:
    with pytest.raises(CardRefused) as raised:
        put(card_keys(), text)

    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert VISA[:-1] not in told
    assert "737" not in told


def test_no_number_stands_in_the_representation_of_a_card() -> None:
    assert VISA not in repr(read_card(card_text()))


def test_recipients_are_read_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "adyen.pem").write_text(pem_of(PROCESSOR_KEY))

    found = read_recipients([f"adyen={tmp_path / 'adyen.pem'}"])

    assert found["adyen"].public_key_pem == pem_of(PROCESSOR_KEY)


@pytest.mark.parametrize(
    "said",
    [
        ["adyen"],
        ["=a.pem"],
        ["adyen="],
        ["Adyen=a.pem"],
        ["adyen=nowhere.pem"],
        ["adyen=none.pem"],
        ["adyen=p384.pem"],
        ["adyen=a.pem", "adyen=a.pem"],
        [f"a{number}=a.pem" for number in range(17)],
    ],
)
def test_a_recipient_that_is_not_to_be_used_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    (tmp_path / "a.pem").write_text(pem_of(PROCESSOR_KEY))
    (tmp_path / "none.pem").write_text("-----BEGIN PUBLIC KEY-----")
    (tmp_path / "p384.pem").write_text(pem_of(ec.generate_private_key(ec.SECP384R1())))
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RecipientRefused):
        read_recipients(said)
