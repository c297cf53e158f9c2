"""Resolutions: what holds after documents that were forged, repeated, left out, moved or contradicted."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave import canonical
from enclave.keys import KeyAddress
from enclave.resolutions import (
    BEFORE_THE_FIRST,
    DOCUMENT_BYTES_MAX,
    EMPTY,
    AdmitKey,
    DismissApprover,
    Head,
    Item,
    Register,
    ResolutionInvalid,
    SignedResolution,
    instant,
    instant_text,
    read_document,
    register_of,
    resolved,
)
from enclave.roster import Roster
from tests.enclave.council import (
    NOON,
    SECOND,
    TRIO,
    Minutes,
    admit,
    approver,
    document_after,
    pem_of,
    person,
    retire,
    roster_of,
    signed,
)

HOUR = timedelta(hours=1)
TOKEN_1 = KeyAddress.parse("access_token/v1")


def minutes() -> Minutes:
    """Four resolutions about two keys and an approver."""
    kept = Minutes()
    kept.resolve(admit("access_token/v1"), admit("identity/v1"))
    kept.resolve(approver("anna"))
    kept.resolve(admit("access_token/v2", not_before=NOON + HOUR))
    kept.resolve(retire("access_token/v1", NOON + HOUR), DismissApprover(approver_id="anna"))
    return kept


MINUTES = minutes()
WHOLE = register_of(MINUTES.chain, TRIO)


def refused(item: Item, *before: Item) -> str:
    """Why a resolution does not count after these items."""
    kept = Minutes()
    if before:
        kept.resolve(*before)
    with pytest.raises(ResolutionInvalid) as raised:
        resolved(register_of(kept.chain, TRIO), kept.next(item), TRIO)
    return str(raised.value)


def after(*items: Item) -> Register:
    kept = Minutes()
    for item in items:
        kept.resolve(item)
    register = register_of(kept.chain, TRIO)
    assert not register.left_out
    return register


# The chain --------------------------------------------------------------------------------------------------------


def test_what_was_resolved_holds() -> None:
    assert (WHOLE.head, WHOLE.left_out) == (MINUTES.head, ())
    assert sorted(map(str, WHOLE.keys)) == ["access_token/v1", "access_token/v2", "identity/v1"]
    assert WHOLE.keys[TOKEN_1].sign_until == NOON + HOUR
    assert WHOLE.keys[TOKEN_1].endorsers == {"ada", "ben"}
    assert WHOLE.approvers == {}


@given(st.data())
def test_no_changed_byte_of_a_document_changes_what_holds_but_by_cutting_it_off(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, 3))
    text = bytearray(MINUTES.chain[which].document.encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 127))
    spoilt = replace(MINUTES.chain[which], document=text.decode("latin-1"))

    found = register_of([*MINUTES.chain[:which], spoilt, *MINUTES.chain[which + 1 :]], TRIO)

    assert holding(found) == holding(register_of(MINUTES.chain[:which], TRIO))
    assert len(found.left_out) == 4 - which


@given(st.data())
def test_no_changed_bit_of_a_signature_brings_anything_into_force(data: st.DataObject) -> None:
    which, name = data.draw(st.integers(0, 3)), data.draw(st.sampled_from(["ada", "ben"]))
    signature = bytearray(MINUTES.chain[which].signatures[name])
    place = data.draw(st.integers(0, 8 * len(signature) - 1))
    signature[place // 8] ^= 1 << place % 8
    signatures = {**MINUTES.chain[which].signatures, name: bytes(signature)}
    spoilt = replace(MINUTES.chain[which], signatures=signatures)

    found = register_of([*MINUTES.chain[:which], spoilt, *MINUTES.chain[which + 1 :]], TRIO)

    assert holding(found) == holding(register_of(MINUTES.chain[:which], TRIO))
    assert found.left_out[0].endswith("1 of 2 custodians have signed it")


@given(st.lists(st.sampled_from(MINUTES.chain), max_size=12))
def test_in_whatever_order_and_number_the_chain_holds_as_far_as_it_is_there(
    given_: list[SignedResolution],
) -> None:
    reached = 0
    for each in given_:
        reached += reached < 4 and each is MINUTES.chain[reached]

    found = register_of(given_, TRIO)

    assert holding(found) == holding(register_of(MINUTES.chain[:reached], TRIO))
    assert len(found.left_out) == len(given_) - reached


@given(st.lists(st.text(max_size=50), max_size=4), st.randoms(use_true_random=False))
def test_junk_between_them_changes_nothing(junk: list[str], dice: random.Random) -> None:
    mixed = list(MINUTES.chain)
    for text in junk:
        mixed.insert(dice.randrange(len(mixed) + 1), signed_anyhow(text))

    found = register_of(mixed, TRIO)

    assert holding(found) == holding(WHOLE)
    assert len(found.left_out) == len(junk)


def signed_anyhow(text: str) -> SignedResolution:
    return SignedResolution(text, {"ada": b"", "": text.encode("utf-8", "replace")})


def holding(register: Register) -> object:
    return register.heads, dict(register.keys), dict(register.approvers)


def test_of_a_fork_the_one_that_stands_first_holds_and_so_does_what_follows_it() -> None:
    kept = Minutes(list(MINUTES.chain[:1]))
    other = kept.next(admit("access_token/v2"), by=("ben", "cleo"))
    after_other = signed(document_after(Head(2, _hash(other)), admit("identity/v2")), "ada", "ben")

    left = register_of([kept.chain[0], MINUTES.chain[1], other, after_other, MINUTES.chain[2]], TRIO)
    right = register_of([kept.chain[0], other, MINUTES.chain[1], after_other, MINUTES.chain[2]], TRIO)

    assert left.heads == WHOLE.heads[:4]
    assert [head.sha256 for head in right.heads[2:]] == [_hash(other), _hash(after_other)]
    assert not right.holds(left.head)
    assert not left.holds(right.head)


def _hash(resolution: SignedResolution) -> str:
    return Minutes([resolution]).head.sha256


def test_a_register_holds_its_own_heads_and_no_others() -> None:
    assert all(WHOLE.holds(head) for head in WHOLE.heads)
    assert not WHOLE.holds(Head(5, "0" * 64))
    assert not WHOLE.holds(Head(2, "0" * 64))
    assert not EMPTY.holds(WHOLE.head)
    assert EMPTY.holds(Head(0, BEFORE_THE_FIRST))


# Who has signed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [1, 2, 3, 4])
@pytest.mark.parametrize("signers", [0, 1, 2, 3, 4])
def test_it_takes_as_many_as_the_roster_asks_for(threshold: int, signers: int) -> None:
    names = ("ada", "ben", "cleo", "dora")
    roster = roster_of(*names, threshold=threshold)
    one = Minutes().next(admit("identity/v1"), by=names[:signers])

    found = register_of([one], roster)

    assert bool(found.keys) is (signers >= threshold)
    assert {record.endorsers for record in found.keys.values()} <= {frozenset(names[:signers])}


def test_one_custodian_is_one_under_whatever_names_he_signs() -> None:
    one = Minutes().next(admit("identity/v1"), by=("ada",))
    by_ada = one.signatures["ada"]

    for names in (("ada", "ben"), ("ada", "ADA"), ("ada", "ada "), ("ada", "mallory")):
        assert not register_of([replace(one, signatures=dict.fromkeys(names, by_ada))], TRIO).keys
    # A roster that was not read from a file, with one key twice.
    twins = Roster(2, {"ada": pem_of(person("ada")), "twin": pem_of(person("ada"))})
    assert len(twins.endorsers(b"", {})) == 0


def test_signatures_of_another_document_or_without_the_prefix_do_not_count() -> None:
    one, other = (Minutes().next(admit(key_id)) for key_id in ("identity/v1", "identity/v2"))

    found = register_of([replace(one, signatures=other.signatures)], TRIO)

    assert found.left_out == ("document 1: 0 of 2 custodians have signed it",)


def test_other_custodians_may_sign_the_same_documents_again() -> None:
    after_the_change = roster_of("cleo", "dora")
    again = [signed(each.document, "cleo", "dora") for each in MINUTES.chain]

    found = register_of([*MINUTES.chain, *again], after_the_change)

    assert found.heads == WHOLE.heads
    assert len(found.left_out) == 4


# The document -----------------------------------------------------------------------------------------------------


GOOD = MINUTES.chain[0].document


@pytest.mark.parametrize(
    "document",
    [
        "",
        "null",
        "[]",
        "[" * 100_000,
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace(":", ": ", 1),
        GOOD.replace('"number":1', '"number":1,"number":1'),
        GOOD.replace('"number":1', '"number":1.0'),
        GOOD.replace('"number":1', '"number":NaN'),
        GOOD.replace('"number":1', '"number":true'),
        GOOD.replace('"number":1', '"number":0'),
        GOOD.replace('"number":1', '"number":' + "1" * 5000),
        GOOD.replace('"number":1', '"number":"1"'),
        GOOD.replace("-v1", "-v2"),
        GOOD[:-1] + ',"more":1}',
        GOOD.replace("access_token/v1", "access_token/v01"),
        GOOD.replace("access_token/v1", "access_token/v0"),
        GOOD.replace("access_token/v1", "access_token/v65536"),
        GOOD.replace("access_token/v1", "root/v1"),
        GOOD.replace("ECDSA P-256 SHA-256", "none\\n"),
        GOOD.replace("T12:00:00Z", "T12:00:00+00:00"),
        GOOD.replace("T12:00:00Z", "T24:00:00Z"),
        GOOD.replace("T12:00:00Z", "T12:00:60Z"),
        GOOD.replace("2026-11-22", "2026-02-29"),
        GOOD.replace("2026-11-22", "0000-11-22"),
        GOOD.replace("2026-11-22", "２０２６-11-22"),
        GOOD.replace("BEGIN", "\ud800"),
        GOOD.replace("BEGIN", "\\ud800"),
        GOOD.replace("BEGIN", "B" * DOCUMENT_BYTES_MAX),
        document_after(EMPTY.head, admit("identity/v1")).replace("admit_key", "admit_all"),
        canonical.encode({**json.loads(GOOD), "items": []}).decode(),
    ],
)
def test_what_is_no_document_in_its_one_spelling_does_not_count(document: str) -> None:
    with pytest.raises(ResolutionInvalid) as raised:
        read_document(document)
    assert str(raised.value).isprintable()

    assert register_of([SignedResolution(document, {})], TRIO).heads == EMPTY.heads


def test_a_thousand_keys_go_into_one_document_of_less_than_a_megabyte() -> None:
    items = [
        admit("access_token/v1", sha256="0" * 64).model_copy(update={"key_id": f"access_token/v{version}"})
        for version in range(1, 1001)
    ]
    document = document_after(EMPTY.head, *items)

    assert len(document) < DOCUMENT_BYTES_MAX
    assert len(read_document(document).items) == 1000


@pytest.mark.parametrize("programme", ["", "prg_1\x1b[2K", "prg 1", "prg_1\n", "p" * 65])
def test_a_programme_that_a_screen_would_not_show_is_none(programme: str) -> None:
    one = approver("anna").model_copy(update={"programme_ids": (programme,)})

    with pytest.raises(ResolutionInvalid):
        read_document(document_after(EMPTY.head, one))


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_spelt_in_one_way(at: datetime) -> None:
    assert instant(instant_text(at)) == at.replace(microsecond=0)
    with pytest.raises(ValueError, match="spelt"):
        instant(str(at))


# Keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_admitted_once() -> None:
    first = admit("identity/v1")

    assert refused(first, first) == "identity/v1 was admitted before"
    other = first.model_copy(update={"key_id": "identity/v2"})
    assert refused(other, first) == "the key identity/v2 was admitted before, as another"
    another_purpose = first.model_copy(update={"key_id": "access_token/v1"})
    assert "was admitted before, as another" in refused(another_purpose, first)
    assert not after(first, retire("identity/v1", NOON)).left_out
    assert "admitted before" in refused(first, first, retire("identity/v1", NOON))


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "Ed25519"},
        {"public_key_pem": None},
        {"sha256": "0" * 64},
        {"public_key_pem": "-----BEGIN PUBLIC KEY-----\n"},
        {"public_key_pem": ""},
        {"public_key_pem": pem_of(person("mallory"))},
    ],
)
def test_a_key_is_what_is_said_of_it(changes: dict[str, object]) -> None:
    assert refused(admit("identity/v1", **changes))


def test_a_secret_key_has_no_public_half() -> None:
    assert "another kind" in refused(admit("webhook_secret/v1"))
    assert after(admit("webhook_secret/v1", public_key_pem=None)).keys


def test_a_resolution_counts_as_a_whole_or_not_at_all() -> None:
    kept = Minutes()
    kept.resolve(admit("identity/v1"), retire("identity/v9", NOON))

    assert holding(register_of(kept.chain, TRIO)) == holding(EMPTY)


def test_what_was_never_admitted_cannot_be_retired() -> None:
    assert refused(retire("identity/v1", NOON)) == "identity/v1 was never admitted"


def test_a_key_is_retired_earlier_and_never_later() -> None:
    key, first = admit("identity/v1"), retire("identity/v1", NOON + HOUR)

    assert "earlier than that already" in refused(retire("identity/v1", NOON + HOUR + SECOND), key, first)
    twice = after(key, first, first, retire("identity/v1", NOON - HOUR))
    assert twice.keys[KeyAddress.parse("identity/v1")].sign_until == NOON - HOUR


def test_a_key_is_believed_less_long_and_never_longer() -> None:
    key = admit("identity/v1")
    disbelieved = retire("identity/v1", NOON, verify_until=NOON)

    assert "not believed" in refused(
        retire("identity/v1", NOON, verify_until=NOON + SECOND), key, disbelieved
    )
    again = after(key, disbelieved, retire("identity/v1", NOON))
    assert again.keys[KeyAddress.parse("identity/v1")].verify_until == NOON


def test_times_at_their_edges() -> None:
    until = instant_text(NOON + HOUR)
    item = admit("identity/v1", sign_until=until, verify_until=instant_text(NOON + 2 * HOUR))
    [record] = after(item).keys.values()

    assert [record.signs(NOON + step) for step in (-SECOND, 0 * HOUR, HOUR - SECOND, HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    believed = (-HOUR, HOUR, 2 * HOUR - SECOND, 2 * HOUR)
    assert [record.is_believed(NOON + step) for step in believed] == [True, True, True, False]


def test_a_key_that_nobody_believes_signs_nothing() -> None:
    [record] = after(admit("identity/v1", verify_until=instant_text(NOON + HOUR))).keys.values()

    assert record.signs(NOON)
    assert not record.signs(NOON + HOUR)


def test_a_key_retired_before_its_time_never_signs() -> None:
    [record] = after(admit("identity/v1", not_before=NOON + HOUR), retire("identity/v1", NOON)).keys.values()

    assert not any(record.signs(NOON + step * HOUR) for step in range(-1, 4))


@given(st.sets(st.integers(1, 5), min_size=1), st.integers(1, 5))
def test_what_is_admitted_is_there_whoever_else_is(versions: set[int], retired: int) -> None:
    kept = Minutes()
    kept.resolve(*[admit(f"identity/v{version}") for version in sorted(versions)])
    if retired in versions:
        kept.resolve(retire(f"identity/v{retired}", NOON))
    found = register_of(kept.chain, TRIO)

    signing = {address.version for address, record in found.keys.items() if record.signs(NOON)}
    assert signing == versions - {retired}


# Approvers --------------------------------------------------------------------------------------------------------


def test_approvers_come_and_go_and_come_again() -> None:
    gone = DismissApprover(approver_id="anna")

    assert set(after(approver("anna"), approver("boris")).approvers) == {"anna", "boris"}
    assert after(approver("anna"), gone).approvers == {}
    assert set(after(approver("anna"), gone, approver("anna", key_of="other")).approvers) == {"anna"}
    assert set(after(approver("anna"), gone, approver("boris", key_of="anna")).approvers) == {"boris"}


def test_nobody_approves_twice_over() -> None:
    assert refused(approver("anna", key_of="other"), approver("anna")) == "anna is an approver already"
    assert "another approver's" in refused(approver("boris", key_of="anna"), approver("anna"))
    assert refused(DismissApprover(approver_id="anna")) == "anna is no approver"


@pytest.mark.parametrize("pem", ["", "key", "-----BEGIN PRIVATE KEY-----\n", "\ud800"])
def test_an_approver_has_a_public_key(pem: str) -> None:
    item = approver("anna").model_copy(update={"public_key_pem": pem})

    assert register_of([Minutes().next(item)], TRIO).approvers == {}


def test_the_kinds_of_items_do_not_get_mixed_up() -> None:
    text = document_after(EMPTY.head, approver("anna")).replace("admit_approver", "dismiss_approver")

    with pytest.raises(ResolutionInvalid):
        read_document(text)
    assert isinstance(read_document(GOOD).items[0], AdmitKey)
