"""How a true instruction is spoilt: one throw of the dice, one mutation of the request, the body or the record.

Some mutations change the spelling only. Which ones do is not known here, and must not be: the test judges what was
drawn by a reading of its own. Everything comes from the dice, so a seed plays the same mutations again.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import TypeAlias

from enclave import canonical
from enclave.canonical import JsonValue
from enclave.facts import PayoutRecord
from enclave.protocol import BODY_BYTES_MAX, MESSAGE_BYTES_MAX, BankProfile
from tests.enclave.payouts import (
    COOLING,
    INITIATOR,
    NOW,
    SCREENING_AGE_MAX,
    fit,
    record_of,
    signed_by,
)

DRAWS_MAX = 20
INT8_MAX = 2**63 - 1
# None of them is one euro: to Python that would equal True.
AMOUNTS_MINOR = (1, 99, 1_000, 123_456, 10_000_000, 99_999_999_999)
PATHS: Mapping[str, str] = {
    "clearbank.sct": "/payments/sepa-ct/v1/customer-payments",
    "clearbank.sct_inst": "/v1/payments/sepa-instant",
}
FILES = ("iso20022.sct", "iso20022.sct_inst")  # whose bodies are spoilt in test_order_files
NAMES = ("Blumen Becker GmbH", "Café Łódź", "Ο Κήπος 🌷", 'Sons & "Daughters" \\ Ltd')


@dataclass(frozen=True, slots=True)
class Spelt:
    """A piece of JSON to be written exactly so, JSON or not."""

    text: str


Tree: TypeAlias = "Mapping[str, Tree] | list[Tree] | str | int | Decimal | Spelt | None"
Members: TypeAlias = dict[str, Tree]
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Instruction:
    """A payout that may be signed: what the caller asks, and the row that proves it."""

    payout_id: str
    attempt_id: str
    profile: BankProfile
    members: Members
    record: PayoutRecord

    @property
    def body(self) -> bytes:
        return spell(self.members).encode()

    def message(self, body: bytes) -> Members:
        return {
            "purpose": "payout",
            "payout_id": self.payout_id,
            "attempt_id": self.attempt_id,
            "profile": self.profile,
            "scheme": "body_rsa_sha256",
            "target": None,
            "body": base64.b64encode(body).decode(),
        }

    def data(self, body: bytes) -> bytes:
        return datagram(self.message(body))


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody tries: a datagram, and what the database holds by then."""

    mutation: str
    data: bytes
    record: PayoutRecord


def datagram(message: Mapping[str, Tree]) -> bytes:
    """The message in the one spelling that the enclave reads."""
    return spell(_sorted(message)).encode()


def _sorted(tree: Tree) -> Tree:
    match tree:
        case Mapping():
            return {name: _sorted(tree[name]) for name in sorted(tree)}
        case list():
            return [_sorted(item) for item in tree]
        case _:
            return tree


def true_instruction(dice: Random, number: int) -> Instruction:
    """A payout like no other, on either rail; its order names every column that an order can name."""
    payout_id, attempt_id = f"pay_{number:032x}", f"att_{number:032x}"
    instant = dice.random() < 0.5
    minor = dice.choice(AMOUNTS_MINOR)
    said: dict[str, str | int] = {
        "payout_id": payout_id,
        "programme_id": dice.choice(("prg_universal", "prg_other")),
        "amount_minor": minor,
        "currency": "EUR",
        "creditor_name": dice.choice(NAMES),
        "creditor_iban": "DE89370400440532013000",
        "debtor_name": "Universal Pay B.V.",
        "debtor_iban": "NL91CLRB0417164300",
        "end_to_end_id": f"PAY-{number}",
        "remittance": "Settlement week 47",
        "rail": "SCT_INST" if instant else "SCT",
        "initiator": INITIATOR,
    }
    record = fit(record_of(canonical.encode(said).decode(), **said, open_attempt_id=attempt_id))
    return Instruction(
        payout_id=payout_id,
        attempt_id=attempt_id,
        profile="clearbank.sct_inst" if instant else "clearbank.sct",
        members=members_of(record),
        record=record,
    )


def members_of(record: PayoutRecord) -> Members:
    """The body that says what a record says."""
    members: Members = {
        "endToEndId": record.end_to_end_id,
        "amount": Decimal(f"{record.amount_minor // 100}.{record.amount_minor % 100:02d}"),
        "debtor": {"name": record.debtor_name, "accountIban": record.debtor_iban},
        "creditor": {"name": record.creditor_name, "accountIban": record.creditor_iban},
    }
    if record.rail == "SCT":
        return members | {
            "currency": record.currency,
            "remittanceInformationUnstructured": record.remittance,
        }
    return members | {"reference": record.remittance}


def draw(dice: Random, instruction: Instruction, *, decoy: Instruction) -> Attempt:
    """One mutation. `decoy` is another true payout, whose parts may be taken for this one's."""
    for _ in range(DRAWS_MAX):
        name = dice.choice(list(_MUTATIONS))
        attempt = _MUTATIONS[name](dice, instruction, decoy)
        if (attempt.data, attempt.record) != (instruction.data(instruction.body), instruction.record):
            return attempt
    raise AssertionError("the dice change nothing")


# JSON, spelt one way or any way ---------------------------------------------------------------------------------


def spell(tree: Tree, dice: Random | None = None) -> str:
    """A tree as JSON: compact and ASCII, or, with dice, in any spelling that means the same."""
    match tree:
        case Mapping():
            return _between("{", _spell_members(tree, dice), "}", dice)
        case list():
            return _between("[", [spell(item, dice) for item in tree], "]", dice)
        case _:
            return _spell_leaf(tree, dice)


def _spell_members(members: Mapping[str, Tree], dice: Random | None) -> list[str]:
    names = list(members)
    if dice is not None:
        dice.shuffle(names)
    return [f"{_spell_text(name, dice)}{_gap(dice)}:{spell(members[name], dice)}" for name in names]


def _spell_leaf(leaf: str | int | Decimal | Spelt | None, dice: Random | None) -> str:
    match leaf:
        case Decimal() if dice is not None:
            return dice.choice(_same_amount(leaf))
        case Spelt():
            return leaf.text
        case str():
            return _spell_text(leaf, dice)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[leaf]
        case _:
            return str(leaf)


def _between(opens: str, inside: list[str], closes: str, dice: Random | None) -> str:
    padded = [f"{_gap(dice)}{item}{_gap(dice)}" for item in inside]
    return f"{opens}{','.join(padded)}{_gap(dice)}{closes}"


def _gap(dice: Random | None) -> str:
    return "" if dice is None else "".join(dice.choices(" \t\r\n", k=dice.choice((0, 0, 1, 2))))


def _spell_text(text: str, dice: Random | None) -> str:
    if dice is None:
        return json.dumps(text)
    return f'"{"".join(_spell_character(character, dice) for character in text)}"'


def _spell_character(character: str, dice: Random) -> str:
    may_stand = character >= " " and character not in {'"', "\\"} and not "\ud800" <= character <= "\udfff"
    if may_stand and dice.random() < 0.9:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def _same_amount(amount: Decimal) -> list[str]:
    minor = int(amount * 100)
    shifted = f"{minor}e-2", f"{minor}E-02", f"{minor}00e-4", f"{minor}.0e-2"
    return [str(amount), f"{amount}0", f"{amount}{'0' * 40}", *shifted]


# Trees, changed in one place ------------------------------------------------------------------------------------


def altered_tree(dice: Random, tree: Tree) -> Tree:
    """The tree with one of its values, wherever it stands, made another."""
    return _replaced(tree, dice.choice(_places(tree)), lambda value: altered_value(dice, value))


def _places(tree: Tree, here: Path = ()) -> list[Path]:
    match tree:
        case Mapping():
            below = [place for name, value in tree.items() for place in _places(value, (*here, name))]
        case list():
            below = [place for at, value in enumerate(tree) for place in _places(value, (*here, at))]
        case _:
            below = []
    return [here, *below]


def _replaced(tree: Tree, place: Path, change: Callable[[Tree], Tree]) -> Tree:
    if not place:
        return change(tree)
    if isinstance(tree, Mapping):
        return {
            name: _replaced(value, place[1:], change) if name == place[0] else value
            for name, value in tree.items()
        }
    assert isinstance(tree, list)
    return [_replaced(value, place[1:], change) if at == place[0] else value for at, value in enumerate(tree)]


def altered_value(dice: Random, value: Tree) -> Tree:
    """Another value for this one: near by, or of another type."""
    if dice.random() < 0.2:
        return _other_type(dice, value)
    match value:
        case str():
            return altered_text(dice, value)
        case Decimal() | int() if not isinstance(value, bool):
            return Spelt(_other_number(dice, value))
        case Mapping():
            return _altered_members(dice, dict(value))
        case list():
            lists: list[list[Tree]] = [[], value[:-1], [*value, *value], [*value, None], [value]]
            return dice.choice(lists)
        case _:
            return _other_type(dice, value)


def _other_type(dice: Random, value: Tree) -> Tree:
    others: list[Tree] = [None, True, False, 0, 1, -1, "", "null", [], {}, [value], {"value": value}]
    others += [Spelt(spell(spell(value))), Spelt("NaN"), Spelt("-Infinity"), Spelt("1e400"), Spelt("")]
    return dice.choice(others)


def _altered_members(dice: Random, members: Members) -> Members:
    if not members:
        return {"extra": None}
    name = dice.choice(list(members))
    match dice.randrange(5):
        case 0:
            return {key: value for key, value in members.items() if key != name}
        case 1:
            renamed = altered_text(dice, name)
            return {renamed if key == name else key: value for key, value in members.items()}
        case 2:
            other = dice.choice(list(members))
            return members | {name: members[other], other: members[name]}
        case 3:
            return members | {dice.choice(EXTRA_NAMES): dice.choice((members[name], None, "", 1))}
        case _:
            return members | {name: dict(members)}


EXTRA_NAMES = (
    *("amount ", "Amount", "AMOUNT", "\uff41mount", "am\u043eunt", "amount\0", "amount\u200b", ""),
    *("bic", "creditorAgent", "instructedAmount", "ultimateCreditor", "chargeBearer", "batch", "payments"),
    *("__proto__", "constructor", "$ref", "//", "purpose", "nonce", "iban", "address", "body", "profile"),
)


def _with_one_changed(dice: Random, text: str) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice("0123456789ABCDEFabcdef -") + text[at + 1 :]


def _with_two_swapped(dice: Random, text: str) -> str:
    at = dice.randrange(max(1, len(text) - 1))
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


# What looks like a Latin letter and is none.
_LOOK_ALIKES = str.maketrans("aeopcxyBEKMHOPCTX0159", "аеорсхуВЕКМНОРСТХ０１５９")
_TEXT_CHANGES: tuple[Callable[[Random, str], str], ...] = (
    lambda dice, text: text[:-1],
    lambda dice, text: text + dice.choice((" ", "\0", "\n", "\u200b", "\u00a0", "\u202e", "0", "\ud800")),
    lambda dice, text: dice.choice((" ", "\ufeff", "\t")) + text,
    lambda dice, text: text.swapcase(),
    lambda dice, text: text.translate(_LOOK_ALIKES),
    lambda dice, text: text[::-1],
    lambda dice, text: text + text,
    lambda dice, text: "",
    lambda dice, text: text.replace("e", "e\u0301").replace("é", "e\u0301"),
    _with_one_changed,
    _with_two_swapped,
    lambda dice, text: dice.choice(("NL20INGB0001234567", "SCT", "clearbank.sct", "EUR", "USD", "payout")),
)


def altered_text(dice: Random, text: str) -> str:
    return dice.choice(_TEXT_CHANGES)(dice, text)


_NEAR_AMOUNTS = [sign * step for sign in (1, -1) for step in (Decimal("0.01"), Decimal(1), Decimal("1e-9"))]
# A second, the clock's tolerance and a second more, a token's life.
_NEAR_WHOLES = [sign * step for sign in (1, -1) for step in (1, 2, 120, 121, 240, 3600)]


def _other_number(dice: Random, number: Decimal | int) -> str:
    near = [str(number + step) for step in (_NEAR_AMOUNTS if isinstance(number, Decimal) else _NEAR_WHOLES)]
    near += [f"{number}{'0' * 40}1", f"{number}{'9' * 40}"]
    scaled = [str(number * 10), str(number * 100), f"{number}e1", f"{number}e2", f"-{number}", "0", "-0.0"]
    spelt = [
        f'"{number}"',
        f"0{number}",
        f"+{number}",
        f"{number}.",
        f".{number}",
        f"{number}_0",
        f"[{number}]",
    ]
    huge = [f"{number}{'9' * 5_000}", "1e999999999", "1E-999999999", "9" * 400, str(2**63), str(2**64)]
    comma = [
        str(number).replace(".", ","),
        str(number).translate(_LOOK_ALIKES),
        f"{number} EUR",
        f"0x{number}",
    ]
    return dice.choice([*near, *scaled, *spelt, *huge, *comma])


# Bytes ----------------------------------------------------------------------------------------------------------


def _with_one_bit_flipped(dice: Random, data: bytes) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _with_a_piece(dice: Random, data: bytes, piece: bytes) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + piece + data[at + dice.randrange(3) :]


_BYTE_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _with_one_bit_flipped,
    lambda dice, data: _with_a_piece(dice, data, b""),
    lambda dice, data: _with_a_piece(dice, data, dice.randbytes(dice.randint(1, 4))),
    lambda dice, data: _with_a_piece(
        dice, data, dice.choice((b" ", b"\t", b"\n", b"\0", b"\xa0", b",", b"}"))
    ),
    lambda dice, data: data[: dice.randrange(len(data))],
    lambda dice, data: data + dice.choice((data, b" ", b"\n", b"\0", b"{}", b"//", b"\n" + data)),
    lambda dice, data: dice.choice((b"\xef\xbb\xbf", b"\n", b" ", b"\0", b"[", b")]}'\n")) + data,
    lambda dice, data: b"[" + data + b"]",
    lambda dice, data: b'{"payment":' + data + b"}",
    lambda dice, data: data.decode("utf-8").encode(dice.choice(("utf-16", "utf-16-le", "utf-32", "utf-7"))),
    lambda dice, data: data.replace(b'"', b"'"),
    lambda dice, data: data.replace(b"}", b",}"),
    lambda dice, data: data[:1] + b"/* */" + data[1:],
    lambda dice, data: dice.choice((b"", b"null", b"[]", b"{}", b"[" * 5_000, b'{"a":' * 3_000)),
)


def altered_bytes(dice: Random, data: bytes) -> bytes:
    return dice.choice(_BYTE_CHANGES)(dice, data)


def with_a_member_twice(dice: Random, members: Mapping[str, Tree]) -> bytes:
    """A JSON object in which one member comes twice, before or behind itself, under an escaped name or not."""
    name = dice.choice(list(members))
    text = spell(members)
    value = spell(dice.choice((members[name], altered_value(dice, members[name]))))
    escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'
    twin = f"{dice.choice((spell(name), escaped))}:{value}"
    made = f"{{{twin},{text[1:]}" if dice.random() < 0.5 else f"{text[:-1]},{twin}}}"
    return made.encode("utf-8", "surrogatepass")


def other_base64(dice: Random, raw: bytes) -> str:
    """Something that a lenient reader would take for the base64 of these bytes, or that is the base64 of others."""
    text = base64.b64encode(raw).decode()
    at = dice.randrange(len(text))
    spellings = (
        base64.urlsafe_b64encode(raw).decode() + "\n",
        text.rstrip("=") + "=" * dice.choice((3, 4)),
        text + dice.choice(("=", "\n", " ", "A", "AAAA", "====")),
        text[:at] + dice.choice(("\n", " ", "-", "_", "=", "%", "\0", "é")) + text[at:],
        base64.b64encode(text.encode()).decode(),
        base64.b32encode(raw).decode(),
        base64.b64encode(raw + b" ")[:-2].decode() + "==",
        raw.hex(),
        raw.decode("utf-8", "replace"),
        text.swapcase(),
        "",
    )
    return dice.choice(spellings)


def altered_message(dice: Random, message: Members) -> bytes:
    """A request spoilt as a request: its fields, their types, its spelling or its bytes."""
    match dice.randrange(6):
        case 0:
            return altered_bytes(dice, datagram(message))
        case 1:
            return with_a_member_twice(dice, dict(sorted(message.items())))
        case 2:
            return spell(message, dice).encode("utf-8", "surrogatepass")
        case 3 if any(name in message for name in ("body", "root", "manifest")):
            name = next(name for name in ("body", "root", "manifest") if name in message)
            return datagram(message | {name: other_base64(dice, base64.b64decode(str(message[name])))})
        case _:
            altered = altered_tree(dice, message)
            return datagram(altered) if isinstance(altered, Mapping) else spell(altered).encode()


def altered_body(dice: Random, members: Members) -> bytes:
    """A body spoilt as a body; now and then it is only spelt in another way."""
    match dice.randrange(6):
        case 0:
            return altered_bytes(dice, spell(members).encode())
        case 1:
            return with_a_member_twice(dice, members)
        case 2:
            return spell(members, dice).encode("utf-8", "surrogatepass")
        case 3:
            return spell(altered_tree(dice, members), dice).encode("utf-8", "surrogatepass")
        case _:
            return spell(altered_tree(dice, members)).encode()


# Payouts --------------------------------------------------------------------------------------------------------


def _spoil_request(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    return Attempt("request", altered_message(dice, true.message(true.body)), true.record)


def _mix_with_another(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """One or two fields of another payout that may be signed."""
    ours, theirs = true.message(true.body), decoy.message(decoy.body)
    taken = dice.sample(["payout_id", "attempt_id", "body"], k=dice.choice((1, 2)))
    return Attempt("mixed", datagram(ours | {name: theirs[name] for name in taken}), true.record)


def _ask_for_another_purpose(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """The body as what it is not: the same key signs messages to the bank and payments."""
    ours = true.message(true.body)
    profiles = ("webhook_ack", "statement_request", "virtual_account", "account", "payee")
    others: list[Members] = [
        as_a_message(ours, f"clearbank.{dice.choice(profiles)}"),
        {"purpose": "export", "manifest": ours["body"]},
        ours | {"purpose": dice.choice(("bank_message", "export", "checkpoint", "sign", "Payout", ""))},
        ours | {"profile": dice.choice((*PATHS, *FILES, "clearbank.account"))},
    ]
    return Attempt("purpose", datagram(dice.choice(others)), true.record)


def as_a_message(ours: Members, profile: str) -> Members:
    """A payout's request as one to sign a message."""
    kept = {name: ours[name] for name in ("body", "scheme", "target")}
    return {"purpose": "bank_message", "profile": profile, **kept}


def _ask_by_another_scheme(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """By a scheme that is none, or with a target that does not go with the scheme or with the profile."""
    other = "clearbank.sct" if true.profile == "clearbank.sct_inst" else "clearbank.sct_inst"
    right = {"method": "POST", "authority": "bank.example", "path_with_query": PATHS[true.profile]}
    wrong: tuple[Members, ...] = (
        right | {"path_with_query": PATHS[other]},
        right
        | {
            "path_with_query": dice.choice((PATHS[true.profile] + "/", PATHS[true.profile] + "?a=1", "/", ""))
        },
        right | {"path_with_query": PATHS[true.profile].upper()},
        right | {"method": dice.choice(("PUT", "GET", "post", "POST ", ""))},
        right
        | {"authority": dice.choice(("", "bank.example/", "me@bank.example", "Bank.example", "b\nc", None))},
        right | {"scheme": "https"},
        {name: right[name] for name in dice.sample(list(right), k=2)},
    )
    schemes: tuple[Members, ...] = (
        *({"scheme": "http_message", "target": target} for target in wrong),
        {"scheme": "http_message"},
        {"scheme": dice.choice(("body_rsa_sha256", "detached_jws")), "target": right},
        {"scheme": dice.choice(("", "none", "RS256", "HTTP_MESSAGE", "detached_jws ", None))},
    )
    return Attempt("scheme", datagram(true.message(true.body) | dice.choice(schemes)), true.record)


def _ask_for_the_other_rail(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """The same payment, said as the other rail would have it said."""
    rail = "SCT" if true.record.rail == "SCT_INST" else "SCT_INST"
    profile: BankProfile = "clearbank.sct" if rail == "SCT" else "clearbank.sct_inst"
    other = replace(true, profile=profile, members=members_of(replace(true.record, rail=rail)))
    return Attempt("rail", other.data(other.body), true.record)


def _make_too_large(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    size = dice.choice((BODY_BYTES_MAX, MESSAGE_BYTES_MAX))
    return Attempt("size", true.data(true.body + b" " * size), true.record)


def _spoil_body(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    return Attempt("body", true.data(altered_body(dice, true.members)), true.record)


def _spoil_amount(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    amount = true.members["amount"]
    assert isinstance(amount, Decimal)
    members = true.members | {"amount": Spelt(_other_number(dice, amount))}
    return Attempt("amount", true.data(spell(members).encode()), true.record)


def _spoil_one_column(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    return Attempt(
        "column", true.data(true.body), _altered_record(dice, true.record, decoy.record, columns=1)
    )


def _spoil_two_columns(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    record = _altered_record(dice, true.record, decoy.record, columns=2)
    return Attempt("columns", true.data(true.body), record)


def _spoil_request_and_column(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    record = _altered_record(dice, true.record, decoy.record, columns=1)
    return Attempt("request and column", altered_message(dice, true.message(true.body)), record)


def _change_the_beneficiary_lately(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """The account was changed within the cooling period, and verified again since."""
    changed_at = NOW - COOLING + dice.choice((_MOMENT, timedelta(hours=1), COOLING))
    record = replace(true.record, beneficiary_changed_at=changed_at, beneficiary_verified_at=NOW)
    return Attempt("beneficiary", true.data(true.body), record)


_NEEDED = ("payout_id", "programme_id", "amount_minor", "currency", "creditor_name", "creditor_iban", "rail")
_MOVED = (
    "amount_minor",
    "creditor_name",
    "creditor_iban",
    "debtor_name",
    "debtor_iban",
    "end_to_end_id",
    "remittance",
)


def _agree_against_the_order(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """Body and row changed alike, and of order, digest and clearance as much as leaves one of them true."""
    column = dice.choice((*_MOVED, "currency", "rail", "programme_id"))
    record = _with_columns(true.record, {column: _other_column(dice, column, true.record)})
    profile: BankProfile = "clearbank.sct_inst" if record.rail == "SCT_INST" else "clearbank.sct"
    liar = replace(true, members=members_of(record), profile=profile)
    order = canonical.encode({**canonical.parse_object(_order(true.record)), column: getattr(record, column)})
    digest = hashlib.sha256(order).digest()
    fitting = {"order_canonical": order.decode(), "order_digest": digest, "cleared_digest": digest}
    kept = dice.sample(list(fitting), k=dice.randrange(len(fitting)))
    return Attempt(
        "agreed", liar.data(liar.body), _with_columns(record, {name: fitting[name] for name in kept})
    )


def _with_columns(record: PayoutRecord, changes: Mapping[str, object]) -> PayoutRecord:
    return replace(record, **changes)  # type: ignore[arg-type]  # a broken row holds other types too


def _rewrite_the_order(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """Order, digest and clearance fit one another, and no longer fit the row in one of the order's members."""
    order: Members = json.loads(_order(true.record))
    name = dice.choice(list(order))
    if name in _NEEDED and dice.random() < 0.2:
        del order[name]
    else:
        order[name] = altered_value(dice, order[name])
    text = spell(order)
    digest = hashlib.sha256(text.encode()).digest()
    changes = {"order_canonical": text, "order_digest": digest, "cleared_digest": digest}
    return Attempt("order", true.data(true.body), _with_columns(true.record, changes))


def _take_the_clearance_away(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """As the view shows it, which keeps the order with its clearance, or with the order left behind."""
    order = dice.choice((None, true.record.order_canonical))
    return Attempt(
        "uncleared", true.data(true.body), replace(true.record, cleared_digest=None, order_canonical=order)
    )


def _order(record: PayoutRecord) -> bytes:
    assert record.order_canonical is not None
    return record.order_canonical.encode()


def _altered_record(dice: Random, ours: PayoutRecord, theirs: PayoutRecord, *, columns: int) -> PayoutRecord:
    chosen = dice.sample([field.name for field in fields(PayoutRecord)], k=columns)
    changes: dict[str, object] = {}
    for name in chosen:
        others = (
            (None, _unmet(dice, name, ours, theirs))
            if name in CONDITIONS
            else (None, getattr(theirs, name), *[_other_column(dice, name, ours) for _ in range(6)])
        )
        changes[name] = dice.choice(others)
    return _with_columns(ours, changes)


# What may well be another value and still be met; how it is not, is said here one by one.
CONDITIONS = ("beneficiary_verified_at", "beneficiary_changed_at", "screened_at", "approvals")
_MOMENT = timedelta(microseconds=1)


def _unmet(dice: Random, name: str, ours: PayoutRecord, theirs: PayoutRecord) -> object:
    """A value of this column by which the condition on it is not met."""
    match name:
        case "beneficiary_verified_at":
            return dice.choice((NOW - COOLING - _MOMENT, NOW + timedelta(days=1)))
        case "beneficiary_changed_at":
            return dice.choice((NOW - COOLING + _MOMENT, NOW, NOW + timedelta(days=1)))
        case "screened_at":
            return dice.choice((NOW - SCREENING_AGE_MAX - _MOMENT, NOW + timedelta(days=1)))
        case _:
            return canonical.encode(dice.choice(_too_few_approvals(ours, theirs))).decode()


def _leave_a_condition_unmet(dice: Random, true: Instruction, decoy: Instruction) -> Attempt:
    """All is as it should be, but for time or people."""
    name = dice.choice(CONDITIONS)
    unmet = _unmet(dice, name, true.record, decoy.record)
    return Attempt("condition", true.data(true.body), _with_columns(true.record, {name: unmet}))


def _too_few_approvals(ours: PayoutRecord, theirs: PayoutRecord) -> list[list[JsonValue]]:
    anna = signed_by("anna", ours)
    cut = {**signed_by("carla", ours), "signature": str(anna["signature"])}
    return [
        [],
        [anna],
        [anna, anna, signed_by("anna", ours)],
        [anna, signed_by("anna", ours, said_to_be="boris")],
        [anna, signed_by("mallory", ours)],
        [anna, signed_by("mallory", ours, said_to_be="boris")],
        [anna, signed_by(INITIATOR, ours)],
        [anna, signed_by("boris", theirs)],
        [anna, cut],
        [anna, signed_by("boris", ours), {"approver_id": "carla"}],
    ]


_STATES = ("queued", "accepted", "unknown", "settled", "rejected", "returned", "SUBMITTED", "")


def _other_column(dice: Random, name: str, ours: PayoutRecord) -> object:
    """Another value that a row might hold in this column."""
    match name:
        case "state":
            return dice.choice(_STATES)
        case "rail":
            return "SCT" if ours.rail == "SCT_INST" else "SCT_INST"
        case "amount_minor":
            minor = ours.amount_minor
            return dice.choice((minor + 1, minor - 1, minor * 100, minor + 10, INT8_MAX, 0))
        case "attempts_possibly_sent":
            return dice.choice((1, 2, -1, 40, INT8_MAX))
        case "order_digest" | "cleared_digest":
            return _other_digest(dice, ours.order_digest)
        case _:
            return _other_text_column(dice, name, ours)


def _other_text_column(dice: Random, name: str, ours: PayoutRecord) -> str:
    if name == "order_canonical":
        order: Members = json.loads(_order(ours))
        return altered_body(dice, order).decode("utf-8", "replace")
    return altered_text(dice, str(getattr(ours, name))).replace("\ud800", "\ufffd")


def _other_digest(dice: Random, digest: bytes) -> bytes:
    others = (digest[:-1], digest + b"\0", b"", bytes(32), hashlib.sha256(digest).digest())
    return dice.choice((*others, _with_one_bit_flipped(dice, digest), digest.hex().encode()))


_MUTATIONS: Mapping[str, Callable[[Random, Instruction, Instruction], Attempt]] = {
    "request": _spoil_request,
    "mixed": _mix_with_another,
    "purpose": _ask_for_another_purpose,
    "rail": _ask_for_the_other_rail,
    "scheme": _ask_by_another_scheme,
    "size": _make_too_large,
    "body": _spoil_body,
    "more body": _spoil_body,
    "amount": _spoil_amount,
    "column": _spoil_one_column,
    "columns": _spoil_two_columns,
    "request and column": _spoil_request_and_column,
    "agreed": _agree_against_the_order,
    "order": _rewrite_the_order,
    "uncleared": _take_the_clearance_away,
    "condition": _leave_a_condition_unmet,
    "beneficiary": _change_the_beneficiary_lately,
}
