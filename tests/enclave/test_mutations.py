"""Nothing but a true instruction is signed: thousands of spoilt requests, bodies and rows, each judged twice.

Once by the enclave, with software keys and rows from a dictionary; once here, by a reading that shares no code with
the enclave's. The two must agree on every single one, every decision must be in the log, and at the end each true
instruction must still be signed. The seed is new at every run and is printed with a failure.
"""

import base64
import binascii
import hmac
import json
import re
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random

import pydantic_core
import pytest

from enclave.allowance import LEAVES_MAX
from enclave.facts import PayoutFacts, PayoutRecord
from enclave.keyring import Keyring
from enclave.keys import Purpose, verifies
from enclave.leaves import Leaves
from enclave.log import EntryKind, LogEntry, LogHead, audit
from enclave.logbook import Logbook
from enclave.mirror import HeadsUnavailable, Mirror
from enclave.notes import verify_checkpoint
from enclave.policy import CLOCK_SKEW_S_MAX, Conditions, Limits
from enclave.protocol import BODY_BYTES_MAX, EXPORT_PREFIX, MANIFEST_BYTES_MAX, MESSAGE_BYTES_MAX
from enclave.refusals import RefusalCode
from enclave.server import Server
from enclave.signer import Letter, Peer, Signer
from enclave.tokens import verify_access_token
from tests.enclave.broken import BrokenFacts, NothingResolved, SilentDatabase, SilentRegistrar, lost_token
from tests.enclave.card_examples import ANSWERED, CARD_EXAMPLES, FORWARD, RESEAL, SEAL, CardSituation
from tests.enclave.logs import ORIGIN, ListedLogs, SilentLogs, leaves_of, root_of
from tests.enclave.mutations import (
    PATHS,
    Attempt,
    Instruction,
    Members,
    Tree,
    altered_body,
    altered_message,
    datagram,
    draw,
    spell,
    true_instruction,
)
from tests.enclave.payouts import (
    AMOUNT_MINOR,
    ATTEMPT_ID,
    COOLING,
    CREDIT_TRANSFER,
    INITIATOR,
    NOW,
    PAYOUT_ID,
    ROSTER,
    SCREENING_AGE_MAX,
    STRICT,
    MemoryFacts,
    approved,
    body_of,
    fit,
    good_record,
    order_text,
    record_of,
)
from tests.enclave.rings import first, public_pem, software_keyring
from tests.enclave.signers import signer_on

PAYOUTS = 10_000
OTHERS = 600  # of each of five purposes
LETTERS_A_ROUND = 50
ORIGINS = (ORIGIN, "other.example", "ledger.example/")
LEAVES = leaves_of(600)

NOW_S = int(NOW.timestamp())
KEYRING = software_keyring()
CODES_OF_PAYOUTS = {
    *(RefusalCode.MESSAGE_TOO_LARGE, RefusalCode.MESSAGE_NOT_CANONICAL, RefusalCode.MESSAGE_FIELDS_REFUSED),
    *(RefusalCode.PAYOUT_UNKNOWN, RefusalCode.STATE_NOT_SUBMITTED, RefusalCode.ATTEMPT_NOT_OPEN),
    *(RefusalCode.ALREADY_SENT, RefusalCode.ORDER_DIGEST_MISMATCH, RefusalCode.ORDER_FIELDS_DIFFER),
    *(RefusalCode.NOT_CLEARED, RefusalCode.CLEARANCE_FOR_OTHER_ORDER, RefusalCode.RAIL_MISMATCH),
    RefusalCode.TARGET_REFUSED,
    *(RefusalCode.BODY_UNREADABLE, RefusalCode.BODY_AMOUNT_DIFFERS, RefusalCode.BODY_CURRENCY_DIFFERS),
    *(RefusalCode.BODY_CREDITOR_DIFFERS, RefusalCode.BODY_DEBTOR_DIFFERS, RefusalCode.BODY_REFERENCE_DIFFERS),
    *(RefusalCode.BENEFICIARY_UNVERIFIED, RefusalCode.BENEFICIARY_COOLING, RefusalCode.SCREENING_STALE),
    *(RefusalCode.APPROVALS_MISSING, RefusalCode.APPROVER_IS_INITIATOR),
    *(RefusalCode.BODY_UNKNOWN_FIELD, RefusalCode.MESSAGE_SHAPE_REFUSED, RefusalCode.MANIFEST_FORMAT_REFUSED),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the enclave answered: the code of a refusal, or the members of a grant."""

    code: str | None
    members: Mapping[str, object]

    @property
    def is_signed(self) -> bool:
        return self.code is None


def told(answer: bytes) -> Told:
    members = json.loads(answer)
    if members.pop("ok"):
        return Told(code=None, members=members)
    assert members["detail"]
    assert set(members) == {"detail", "refusal"}, "nothing comes with a refusal"
    return Told(code=RefusalCode(members["refusal"]), members={})


@dataclass
class Desk:
    """A signer over a log on the disk; counts what it was asked."""

    signer: Signer
    facts: MemoryFacts
    asked: int = 0
    signed: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def ask(self, datagrams: Sequence[bytes]) -> list[Told]:
        answers = []
        for place in range(0, len(datagrams), LETTERS_A_ROUND):
            # Each round somebody else: of one user's many refusals the log is told in sums.
            peer = Peer(pid=1, uid=self.asked + place)
            letters = [Letter(peer, data) for data in datagrams[place : place + LETTERS_A_ROUND]]
            answers += [told(answer) for answer in self.signer.answer(letters)]
        self.asked += len(answers)
        self.signed += sum(answer.is_signed for answer in answers)
        self.codes.update(answer.code for answer in answers if answer.code is not None)
        return answers


@contextmanager
def desk(path: Path) -> Iterator[Desk]:
    """At the end the log must hold, with one record a decision."""
    facts = MemoryFacts({})
    with Logbook.open(path, now=NOW) as logbook:
        ours = Desk(
            signer_on(
                logbook,
                keyring=KEYRING,
                facts=facts,
                leaves=ListedLogs(dict.fromkeys(ORIGINS, LEAVES)),
                clock=lambda: NOW,
                conditions=STRICT,
                approvers=lambda: ROSTER,
            ),
            facts,
        )
        yield ours
        kinds = Counter(record.entry.kind for record in logbook.log.records())
        codes = Counter(record.entry.facts.get("code") for record in logbook.log.records())
    assert kinds == Counter(
        {
            EntryKind.KEYS_LOADED: 1,
            EntryKind.GRANTED: ours.signed,
            EntryKind.REFUSED: ours.asked - ours.signed,
        }
    )
    assert codes == ours.codes + Counter({None: ours.signed + 1})
    assert audit(path).count == ours.asked + 1


@pytest.fixture
def dice() -> Random:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, so that it can be played again
    return Random(seed)


# A reading of our own --------------------------------------------------------------------------------------------


class NotOneReading(ValueError):
    """Two readers could read these bytes differently, or none can."""


def read_json(data: bytes) -> Tree:
    try:
        text = data.decode("utf-8")
        tree: Tree = json.loads(
            text,
            object_pairs_hook=_members,
            parse_float=Decimal,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotOneReading from error
    return tree


def _members(pairs: list[tuple[str, Tree]]) -> Members:
    if len({name for name, _ in pairs}) < len(pairs):
        raise NotOneReading
    return dict(pairs)


def _no_constant(name: str) -> Tree:
    raise NotOneReading(name)


def read_base64(text: object) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(
        r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3}={1,2})?", text
    ):
        raise NotOneReading
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise NotOneReading from error
    if base64.b64encode(raw).decode() != text:
        raise NotOneReading
    return raw


def read_message(data: bytes) -> Members:
    """The members of a datagram in its one spelling: sorted, without spaces, ASCII."""
    tree = read_json(data)
    if not isinstance(tree, dict) or datagram(tree) != data:
        raise NotOneReading
    return tree


def body_of_the_same(data: bytes, instruction: Instruction) -> bytes | None:
    """The body, if all else is byte for byte the true message and the body means what the true one means."""
    try:
        body = read_base64(read_message(data).get("body"))
        same = data == instruction.data(body) and means_the_same(read_json(body), instruction.members)
    except NotOneReading:
        return None
    return body if same and len(body) <= BODY_BYTES_MAX else None


def means_the_same(tree: Tree, members: Tree) -> bool:
    match members:
        case dict():
            return (
                isinstance(tree, dict)
                and set(tree) == set(members)
                and all(means_the_same(tree[name], value) for name, value in members.items())
            )
        case Decimal():
            return is_number(tree) and tree == members
        case _:
            return type(tree) is type(members) and tree == members


def is_number(tree: Tree) -> bool:
    """Whether it is a number; to Python, True would be one."""
    return isinstance(tree, int | Decimal) and not isinstance(tree, bool)


def another_reader_agrees(body: bytes, instruction: Instruction) -> bool:
    """Whether a JSON reader in another language, which the bank's might be, finds the same in the bytes."""
    ours, theirs = pydantic_core.from_json(spell(instruction.members)), pydantic_core.from_json(body)
    return bool(ours == theirs)


# Payouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_spoilt_payouts_get_no_signature_and_the_true_ones_still_do(
    tmp_path: Path, dice: Random
) -> None:
    decoy = true_instruction(dice, PAYOUTS)
    instructions = [true_instruction(dice, number) for number in range(PAYOUTS)]
    attempts = [draw(dice, instruction, decoy=decoy) for instruction in instructions]

    with desk(tmp_path / "signing.log") as ours:
        ours.facts.records[decoy.payout_id] = decoy.record
        signed_first = tried(ours, instructions, attempts)
        missing = CODES_OF_PAYOUTS - set(ours.codes)
        told_of_true = asked_truly(ours, instructions)
        signed_second = tried(ours, instructions, attempts)

    assert signed_first == signed_second, "the order in which they are asked makes no difference"
    assert not missing, "every reason was met"
    for instruction, answer, body in zip(instructions, told_of_true, signed_first, strict=True):
        assert answer.code == (None if body is None else "signed_other_body"), instruction
    # Spelt otherwise it is the same instruction, so long as it is the first: then, and only then, it was signed.
    assert 0 < sum(body is not None for body in signed_first) < PAYOUTS / 20
    assert audit(tmp_path / "signing.log").count == 3 * PAYOUTS + 1


def tried(ours: Desk, instructions: Sequence[Instruction], attempts: Sequence[Attempt]) -> list[bytes | None]:
    """The body that was signed for each, as a rule none; every answer is judged."""
    for instruction, attempt in zip(instructions, attempts, strict=True):
        ours.facts.records[instruction.payout_id] = attempt.record
    answers = ours.ask([attempt.data for attempt in attempts])
    return [judged(*one) for one in zip(instructions, attempts, answers, strict=True)]


def judged(instruction: Instruction, attempt: Attempt, answer: Told) -> bytes | None:
    is_row_true = attempt.record == instruction.record
    body = body_of_the_same(attempt.data, instruction) if is_row_true else None
    assert answer.is_signed == (body is not None), (attempt, answer)
    if body is not None:
        assert another_reader_agrees(body, instruction), attempt
        assert_signed(answer, body)
    return body


def asked_truly(ours: Desk, instructions: Sequence[Instruction]) -> list[Told]:
    for instruction in instructions:
        ours.facts.records[instruction.payout_id] = instruction.record
    return ours.ask([instruction.data(instruction.body) for instruction in instructions])


def assert_signed(answer: Told, message: bytes, purpose: Purpose = Purpose.PAYOUT) -> None:
    signature = base64.b64decode(str(answer.members["signature"]))
    assert answer.members["digest"] == sha256(message).hexdigest()
    assert verifies(purpose, public_pem(KEYRING, purpose), message=message, signature=signature)


# Everything else that is signed ----------------------------------------------------------------------------------


def spoilt(dice: Random, good: Sequence[Members], inner: str | None = None) -> Iterator[bytes]:
    """Mutations without end of messages, and of the JSON that one of their fields holds in base64."""
    while True:
        message = dict(dice.choice(good))
        if inner is not None and dice.random() < 0.6:
            members = read_json(base64.b64decode(str(message[inner])))
            assert isinstance(members, dict)
            body = altered_body(dice, members)
            yield datagram(message | {inner: base64.b64encode(body).decode()})
        else:
            yield altered_message(dice, message)


def told_of_each(
    ours: Desk, dice: Random, good: Sequence[Members], inner: str | None = None, edges: Sequence[bytes] = ()
) -> Iterator[tuple[Members | None, Told]]:
    """Each datagram as it reads, if it does, with its answer; the good ones come first and last and are signed."""
    spoilt_ones = [*islice(spoilt(dice, good, inner), OTHERS), *edges]
    whole = [datagram(message) for message in good]
    datagrams = [*whole, *spoilt_ones, *whole]
    answers = ours.ask(datagrams)
    assert all(answer.is_signed for answer in (*answers[: len(good)], *answers[-len(good) :]))
    assert 0 < sum(answer.is_signed for answer in answers[len(good) : -len(good)]) < OTHERS / 2
    for data, answer in zip(datagrams, answers, strict=True):
        try:
            yield read_message(data), answer
        except NotOneReading:
            yield None, answer


def fits(pattern: str, value: Tree, *, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and bool(re.fullmatch(pattern, value, re.ASCII))


def is_whole(value: Tree, *, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_near(seconds: Tree) -> bool:
    return is_whole(seconds, most=NOW_S + 120) and int(str(seconds)) >= NOW_S - 120


SKEWS_S = (-3600, -121, -120, -1, 0, 1, 120, 121, 3600)
AUTHORITY = "bank.example:8443"
TRANSACTIONS = (
    "/mccy/v1/Accounts/1f0c-22/transactions?Currency=EUR&PageNumber=1&PageSize=1000"
    "&StartDateTime=2026-11-21T00:00:00Z&EndDateTime=2026-11-23T00:00:00Z"
)
QUERIES: list[Members] = [
    {
        "purpose": "bank_query",
        "profile": profile,
        "scheme": "body_rsa_sha256",
        "method": "GET",
        "authority": None,
        "path_with_query": path,
        "request_id": "req_" + "7e" * 16,
        "request_time": str(NOW_S + skew),
    }
    for profile, path, skew in (
        ("clearbank.transactions", TRANSACTIONS, 0),
        ("clearbank.statement_page", "/v1/statements/CAMT053_20261121_a-1?pageNumber=1", -120),
        ("clearbank.statement_page", "/v1/statements/x?pageNumber=12", 120),
    )
]
QUERIES += [
    QUERIES[0] | {"scheme": "http_message", "authority": AUTHORITY, "request_id": None, "request_time": None},
]
QUERY_PATHS: Mapping[str, str] = {
    "clearbank.transactions": r"/mccy/v1/Accounts/[0-9A-Za-z-]{1,36}/transactions\?"
    r"Currency=[A-Z]{3}&PageNumber=[1-9]\d{0,8}&PageSize=[1-9]\d{0,8}"
    r"&StartDateTime=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ&EndDateTime=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "clearbank.statement_page": r"/v1/statements/[0-9A-Za-z_-]{1,35}\?pageNumber=[1-9]\d{0,8}",
}


def is_authority(value: Tree) -> bool:
    return fits(r"[0-9a-z][0-9a-z.-]*(:[1-9]\d{0,4})?|\[[0-9a-f:.]+\](:[1-9]\d{0,4})?", value, most=253)


def is_query(members: Members) -> bool:
    return (
        set(members) == set(QUERIES[0])
        and members["purpose"] == "bank_query"
        and members["method"] == "GET"
        and isinstance(members["profile"], str)
        and fits(QUERY_PATHS.get(members["profile"], "(?!)"), members["path_with_query"], most=2048)
        and (is_query_by_body(members) or is_query_by_headers(members))
    )


def is_query_by_body(members: Members) -> bool:
    return (
        members["scheme"] == "body_rsa_sha256"
        and members["authority"] is None
        and fits(r"req_[0-9a-f]{32}", members["request_id"], most=36)
        and fits(r"[1-9][0-9]{9}", members["request_time"], most=10)
        and is_near(int(str(members["request_time"])))
    )


def is_query_by_headers(members: Members) -> bool:
    return (
        members["scheme"] == "http_message"
        and is_authority(members["authority"])
        and members["request_id"] is None
        and members["request_time"] is None
    )


def test_spoilt_bank_queries_get_no_signature(tmp_path: Path, dice: Random) -> None:
    edges = [datagram(QUERIES[0] | {"request_time": str(NOW_S + skew_s)}) for skew_s in SKEWS_S]

    with desk(tmp_path / "signing.log") as ours:
        for members, answer in told_of_each(ours, dice, QUERIES, edges=edges):
            assert answer.is_signed == (members is not None and is_query(members)), (members, answer)
            if members is not None and answer.is_signed:
                assert_query_signed(answer, members)


def assert_query_signed(answer: Told, members: Members) -> None:
    if members["scheme"] == "http_message":
        assert_http_signed(answer, b"", members, members["path_with_query"])
        return
    parts = ("method", "path_with_query", "request_id", "request_time")
    assert_signed(answer, "".join(str(members[name]) for name in parts).encode(), Purpose.BANK)


def assert_http_signed(answer: Told, body: bytes, target: Members, path: Tree) -> None:
    """By a reading of its own: the signed text is put together here, from what was asked."""
    headers = answer.members["headers"]
    assert isinstance(headers, dict)
    assert set(headers) == {"content-digest", "signature", "signature-input"}
    terms = str(headers["signature-input"]).removeprefix("sig1=")
    route, mark, query = str(path).partition("?")
    digest = f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"
    authority = str(target["authority"]).removesuffix(":443")
    lines = [f'"@method": {target["method"]}', f'"@authority": {authority}', f'"@path": {route}']
    lines += [f'"@query": {mark + query or "?"}', f'"content-digest": {digest}']
    lines += ['"content-type": application/json'] if body else []
    assert headers["content-digest"] == digest
    assert_p256_signed(Purpose.BANK_P256, "\n".join([*lines, f'"@signature-params": {terms}']), headers)
    names = re.findall(r'"([^"]+)"', terms.partition(")")[0])
    assert names == [line.split('"')[1] for line in lines]
    assert f";created={NOW_S};" in terms
    assert ';keyid="bank_p256/v1";' in terms


def assert_p256_signed(purpose: Purpose, text: str, headers: Mapping[str, str]) -> None:
    signature = base64.b64decode(headers["signature"].removeprefix("sig1=:").removesuffix(":"))
    assert verifies(purpose, public_pem(KEYRING, purpose), message=text.encode(), signature=signature)


def in_base64(members: Mapping[str, Tree]) -> str:
    return base64.b64encode(spell(members).encode()).decode()


IDENTIFIER: Members = {"identifier": "NL91CLRB0417164300", "kind": "IBAN"}
BODIES: tuple[tuple[str, Members], ...] = (
    ("webhook_ack", {"Nonce": 3141592653}),
    (
        "statement_request",
        {"startDateTimeUtc": "2026-11-21T00:00:00Z", "endDateTimeUtc": "2026-11-22T00:00:00Z"},
    ),
    (
        "virtual_account",
        {"accountId": "acc-1", "virtualAccount": {"owner": "A Shop", "identifiers": [IDENTIFIER]}},
    ),
    (
        "account",
        {
            "label": "Safeguarding",
            "owner": "Universal Pay B.V.",
            "kind": "YourFunds",
            "currencies": ["EUR"],
            "bankIdentifierCode": None,
            "identifiers": [IDENTIFIER],
            "routingCode": "CLRB",
        },
    ),
    (
        "payee",
        {
            "party": {"name": "A Shop"},
            "partyAccount": {"iban": "NL73ABNA0529451824"},
            "partyAgent": {"financialInstitutionId": {"bicfi": "ABNANL2A"}},
        },
    ),
)
MESSAGES: list[Members] = [
    {
        "purpose": "bank_message",
        "profile": f"clearbank.{profile}",
        "scheme": "body_rsa_sha256",
        "target": None,
        "body": in_base64(body),
    }
    for profile, body in BODIES
]
MESSAGE_PATHS: Mapping[str, str | None] = {
    "clearbank.webhook_ack": None,
    "clearbank.statement_request": "/v1/statementrequests",
    "clearbank.virtual_account": "/mccy/v1/VirtualAccounts",
    "clearbank.account": "/mccy/v2/Accounts",
    "clearbank.payee": "/open-banking/vop/v1/payees/single",
}
MESSAGES += [message | {"scheme": "detached_jws"} for message in MESSAGES]
MESSAGES += [
    message
    | {
        "scheme": "http_message",
        "target": {
            "method": "POST",
            "authority": AUTHORITY,
            "path_with_query": MESSAGE_PATHS[str(message["profile"])],
        },
    }
    for message in MESSAGES[1 : len(BODIES)]
]


def is_short(value: Tree, most: int = 140) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and not re.search("[\ud800-\udfff]", value)


def has_members(value: Tree, *, needs: set[str], may: frozenset[str] = frozenset()) -> bool:
    return isinstance(value, dict) and needs <= set(value) <= needs | may


def are_identifiers(value: Tree) -> bool:
    return value is None or (isinstance(value, list) and all(is_identifier(one) for one in value))


def is_identifier(value: Tree) -> bool:
    return (
        isinstance(value, dict)
        and has_members(value, needs={"identifier", "kind"})
        and is_short(value["identifier"], most=50)
        and fits(r"IBAN|BBAN|Descriptor", value["kind"], most=10)
    )


def is_webhook_answer(body: Members) -> bool:
    nonce = body.get("Nonce")
    return has_members(body, needs={"Nonce"}) and isinstance(nonce, int) and not isinstance(nonce, bool)


def is_statement_request(body: Members) -> bool:
    return has_members(body, needs={"startDateTimeUtc", "endDateTimeUtc"}) and all(
        fits(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, most=20) for value in body.values()
    )


def is_virtual_account(body: Members) -> bool:
    inner = body.get("virtualAccount")
    return (
        has_members(body, needs={"accountId", "virtualAccount"})
        and isinstance(inner, dict)
        and has_members(inner, needs={"owner"}, may=frozenset({"identifiers"}))
        and is_short(body["accountId"])
        and is_short(inner["owner"])
        and are_identifiers(inner.get("identifiers"))
    )


def is_account(body: Members) -> bool:
    texts, or_none = (
        ("label", "owner", "kind"),
        ("bankIdentifierCode", "routingCode", "productId", "customerId"),
    )
    return (
        has_members(
            body,
            needs={*texts, "currencies", "bankIdentifierCode"},
            may=frozenset({"identifiers", "routingCode", "productId", "customerId"}),
        )
        and all(is_short(body[name]) for name in texts)
        and all(body.get(name) is None or is_short(body[name]) for name in or_none)
        and isinstance(body["currencies"], list)
        and all(is_short(currency) for currency in body["currencies"])
        and are_identifiers(body.get("identifiers"))
    )


def is_payee(body: Members) -> bool:
    members = ("party", "name"), ("partyAccount", "iban"), ("partyAgent", "financialInstitutionId")
    if not has_members(body, needs={member for member, _ in members}):
        return False
    inner = []
    for member, name in members:
        value = body[member]
        if not isinstance(value, dict) or not has_members(value, needs={name}):
            return False
        inner.append(value[name])
    name, iban, agent = inner
    return (
        is_short(name)
        and fits(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}", iban, most=34)
        and isinstance(agent, dict)
        and has_members(agent, needs={"bicfi"})
        and fits(r"[A-Z0-9]{8}([A-Z0-9]{3})?", agent["bicfi"], most=11)
    )


SHAPES: Mapping[str, Callable[[Members], bool]] = {
    "clearbank.webhook_ack": is_webhook_answer,
    "clearbank.statement_request": is_statement_request,
    "clearbank.virtual_account": is_virtual_account,
    "clearbank.account": is_account,
    "clearbank.payee": is_payee,
}


def is_bank_message(members: Members) -> bool:
    if set(members) != set(MESSAGES[0]) or members["purpose"] != "bank_message":
        return False
    if not goes_where_it_may(members):
        return False
    try:
        body = read_json(read_base64(members["body"]))
    except NotOneReading:
        return False
    shape = SHAPES.get(members["profile"]) if isinstance(members["profile"], str) else None
    return shape is not None and isinstance(body, dict) and shape(body)


def goes_where_it_may(members: Members) -> bool:
    scheme, target, profile = members["scheme"], members["target"], members["profile"]
    if scheme != "http_message":
        return scheme in ("body_rsa_sha256", "detached_jws") and target is None
    path = MESSAGE_PATHS.get(profile) if isinstance(profile, str) else None
    if path is None or target is None:
        return path is None and target is None
    return (
        isinstance(target, dict)
        and set(target) == {"method", "authority", "path_with_query"}
        and (target["method"], target["path_with_query"]) == ("POST", path)
        and is_authority(target["authority"])
    )


def assert_message_signed(answer: Told, members: Members) -> None:
    body, target, headers = read_base64(members["body"]), members["target"], answer.members.get("headers")
    if members["scheme"] == "body_rsa_sha256":
        assert_signed(answer, body, Purpose.BANK)
    elif isinstance(target, dict):
        assert_http_signed(answer, body, target, target["path_with_query"])
    elif members["scheme"] == "detached_jws":
        assert isinstance(headers, dict)
        assert_jws_signed(str(headers["x-jws-signature"]), body)


def assert_jws_signed(signature: str, body: bytes) -> None:
    header, nothing, raw = signature.split(".")
    said = read_json(base64.urlsafe_b64decode(header + "=="))
    assert nothing == ""
    assert said == {"alg": "ES256", "b64": False, "crit": ["b64"], "iat": NOW_S, "kid": "bank_p256/v1"}
    pem = public_pem(KEYRING, Purpose.BANK_P256)
    signed = header.encode() + b"." + body
    bare = base64.urlsafe_b64decode(raw + "==")
    assert verifies(Purpose.BANK_P256, pem, message=signed, signature=bare)


def test_spoilt_bank_messages_get_no_signature(tmp_path: Path, dice: Random) -> None:
    with desk(tmp_path / "signing.log") as ours:
        for members, answer in told_of_each(ours, dice, MESSAGES, inner="body"):
            assert answer.is_signed == (members is not None and is_bank_message(members)), (members, answer)
            if members is not None and answer.is_signed:
                assert_message_signed(answer, members)


WEBHOOK: Members = {
    "purpose": "webhook",
    "endpoint_id": "wep_" + "0f" * 16,
    "message_id": "msg_1",
    "payload": in_base64({"type": "payout.settled", "amount_minor": 5}),
}


def is_webhook(members: Members) -> bool:
    if set(members) != set(WEBHOOK) or members["purpose"] != "webhook":
        return False
    try:
        payload = read_base64(members["payload"])
        is_object = isinstance(read_json(payload), dict)
    except NotOneReading:
        return False
    named = fits(r"[a-z]{2,6}_[0-9a-f]{32}", members["endpoint_id"], most=39)
    return is_object and named and fits(r"[0-9A-Za-z_-]{1,128}", members["message_id"], most=128)


def test_spoilt_webhooks_get_no_signature(tmp_path: Path, dice: Random) -> None:
    with desk(tmp_path / "signing.log") as ours:
        for members, answer in told_of_each(ours, dice, [WEBHOOK], inner="payload"):
            assert answer.is_signed == (members is not None and is_webhook(members)), (members, answer)
            if members is not None and answer.is_signed:
                assert_webhook_signed(answer, members)


def assert_webhook_signed(answer: Told, members: Members) -> None:
    headers = answer.members["headers"]
    assert isinstance(headers, dict)
    content = f"{members['message_id']}.{NOW_S}.".encode() + read_base64(members["payload"])
    secret = KEYRING.backend.mac(
        first(Purpose.WEBHOOK_SECRET), f"tallystick-webhook-endpoint-v1\n{members['endpoint_id']}".encode()
    )
    v1, v1a = headers["webhook-signature"].split(" ")
    assert v1 == f"v1,{base64.b64encode(hmac.digest(secret, content, 'sha256')).decode()}"
    signature = base64.b64decode(v1a.removeprefix("v1a,"))
    assert verifies(
        Purpose.WEBHOOK, public_pem(KEYRING, Purpose.WEBHOOK), message=content, signature=signature
    )


CLAIMS: Members = {
    "client_id": "shop",
    "programme_id": "prg_universal",
    "scopes": ["checkouts:write", "payouts:read"],
    "audience": "api",
    "issuer": "https://tokens.example",
    "issued_at": NOW_S,
    "expires_at": NOW_S + 3600,
    "token_id": "tok_1",
}
TOKENS: list[Members] = [
    {"purpose": "access_token", "claims": CLAIMS},
    {"purpose": "access_token", "claims": CLAIMS | {"programme_id": None, "scopes": []}},
    {"purpose": "access_token", "claims": CLAIMS | {"issued_at": NOW_S - 120, "expires_at": NOW_S - 119}},
]


def is_token_request(members: Members) -> bool:
    claims = members.get("claims")
    if set(members) != {"purpose", "claims"} or members["purpose"] != "access_token":
        return False
    if not isinstance(claims, dict) or set(claims) != set(CLAIMS):
        return False
    words = ("client_id", "audience", "issuer", "token_id")
    scopes, issued_at, expires_at = claims["scopes"], claims["issued_at"], claims["expires_at"]
    return (
        all(fits(r"[!-~]+", claims[name], most=200) for name in words)
        and (claims["programme_id"] is None or fits(r"[!-~]+", claims["programme_id"], most=200))
        and isinstance(scopes, list)
        and len(scopes) <= 64
        and all(fits(r"[a-z][a-z0-9_.:-]*", scope, most=64) for scope in scopes)
        and is_near(issued_at)
        and is_whole(expires_at, most=2**37)
        and 1 <= int(str(expires_at)) - int(str(issued_at)) <= 3600
    )


def test_spoilt_tokens_are_not_issued(tmp_path: Path, dice: Random) -> None:
    times = ((NOW_S + skew_s, life_s) for skew_s in SKEWS_S for life_s in (-1, 0, 1, 3599, 3600, 3601))
    edges = [
        datagram(TOKENS[0] | {"claims": CLAIMS | {"issued_at": at, "expires_at": at + life_s}})
        for at, life_s in times
    ]

    with desk(tmp_path / "signing.log") as ours:
        for members, answer in told_of_each(ours, dice, TOKENS, edges=edges):
            assert answer.is_signed == (members is not None and is_token_request(members)), (members, answer)
            if members is not None and answer.is_signed:
                assert_issued(answer, members["claims"])


def assert_issued(answer: Told, claims: Tree) -> None:
    assert isinstance(claims, dict)
    header, payload, _ = (
        base64.urlsafe_b64decode(part + "==") for part in str(answer.members["token"]).split(".")
    )
    scopes = claims["scopes"]
    assert isinstance(scopes, list)
    said = {"iss": claims["issuer"], "aud": claims["audience"], "sub": claims["client_id"]}
    said |= {"client_id": claims["client_id"], "programme": claims["programme_id"], "jti": claims["token_id"]}
    said |= {"iat": claims["issued_at"], "exp": claims["expires_at"], "scope": " ".join(map(str, scopes))}
    assert read_json(payload) == said
    assert read_json(header) == {"alg": "ES256", "kid": "access_token/v1", "typ": "at+jwt"}
    assert verify_access_token(
        str(answer.members["token"]),
        {"access_token/v1": public_pem(KEYRING, Purpose.ACCESS_TOKEN)},
        issuer=str(claims["issuer"]),
        audience=str(claims["audience"]),
        now=datetime.fromtimestamp(int(str(claims["issued_at"])), tz=UTC),
    )


FILE: Members = {"name": "entries.jsonl", "sha256": "00" * 32, "bytes": 12}
FILES: tuple[list[Tree], ...] = ([], [FILE])
MANIFESTS: list[Members] = [
    {
        "purpose": "export",
        "manifest": in_base64({"format": "tallystick-export", "files": files, "version": 1}),
    }
    for files in FILES
]


def is_manifest(members: Members) -> bool:
    if set(members) != {"purpose", "manifest"} or members["purpose"] != "export":
        return False
    try:
        raw = read_base64(members["manifest"])
        manifest = read_json(raw)
    except NotOneReading:
        return False
    is_ours = (
        isinstance(manifest, dict) and manifest.get("format") == "tallystick-export" and "files" in manifest
    )
    return is_ours and len(raw) <= MANIFEST_BYTES_MAX


def test_spoilt_manifests_get_no_signature(tmp_path: Path, dice: Random) -> None:
    with desk(tmp_path / "signing.log") as ours:
        for members, answer in told_of_each(ours, dice, MANIFESTS, inner="manifest"):
            assert answer.is_signed == (members is not None and is_manifest(members)), (members, answer)
            if members is not None and answer.is_signed:
                assert_signed(answer, EXPORT_PREFIX + read_base64(members["manifest"]), Purpose.REPORT)


def checkpoint_of(origin: Tree, size: int, root: bytes) -> Members:
    return {
        "purpose": "checkpoint",
        "origin": origin,
        "size": size,
        "root": base64.b64encode(root).decode(),
    }


def walk(dice: Random) -> Iterator[bytes]:
    """Checkpoints of three logs that grow, stand still, rewind, fork, outgrow their leaves, and are spoilt."""
    sizes = dict.fromkeys(ORIGINS, 0)
    while True:
        origin = dice.choice(ORIGINS)
        size = max(0, sizes[origin] + dice.choice((0, 0, 1, 1, 2, 20, -1, -2, -20)))
        sizes[origin] = min(max(size, sizes[origin]), len(LEAVES))
        message = checkpoint_of(origin, size, root_of(size, dice.choice((0, 0, 0, 1))))
        yield altered_message(dice, message) if dice.random() < 0.3 else datagram(message)


def is_checkpoint(members: Members) -> bool:
    try:
        root = read_base64(members.get("root"))
    except NotOneReading:
        return False
    return (
        set(members) == {"purpose", "origin", "size", "root"}
        and members["purpose"] == "checkpoint"
        and fits(r"[!-*,-~]+", members["origin"], most=200)
        and is_whole(members["size"], most=2**63 - 1)
        and len(root) == 32
    )


def test_no_log_is_ever_seen_to_rewind_or_to_fork(tmp_path: Path, dice: Random) -> None:
    datagrams = list(islice(walk(dice), 2 * OTHERS))
    last: dict[str, tuple[int, bytes]] = {}
    codes: Counter[str | None] = Counter()

    with desk(tmp_path / "signing.log") as ours:
        for data, answer in zip(datagrams, ours.ask(datagrams), strict=True):
            expected = code_of_checkpoint(data, last)
            assert answer.code == expected or (expected == "unreadable" and not answer.is_signed), (
                data,
                answer,
            )
            codes[expected] += 1
            if answer.is_signed:
                note = str(answer.members["note"])
                origin, size, root = note.split("\n")[:3]
                last[origin] = (int(size), base64.b64decode(root))
                pem = public_pem(KEYRING, Purpose.CHECKPOINT)
                assert verify_checkpoint(note, origin=origin, public_key_pem=pem).size == int(size)

    refused = {"unreadable", "checkpoint_rewinds", "checkpoint_beyond_log", "checkpoint_forks"}
    assert set(codes) == {None, *refused}


def code_of_checkpoint(data: bytes, last: Mapping[str, tuple[int, bytes]]) -> str | None:
    try:
        members = read_message(data)
    except NotOneReading:
        return "unreadable"
    if not is_checkpoint(members):
        return "unreadable"
    size, root = int(str(members["size"])), read_base64(members["root"])
    last_size, last_root = last.get(str(members["origin"]), (-1, b""))
    if size < last_size:
        return "checkpoint_rewinds"
    if size == last_size:
        return None if root == last_root else "checkpoint_forks"
    if members["origin"] not in ORIGINS or size > len(LEAVES):
        return "checkpoint_beyond_log"
    return None if root == root_of(size) else "checkpoint_forks"


# Every reason, once ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FixedHeads:
    """What the database knows of the log: always the same, or nothing that can be read."""

    head: LogHead | None
    answers: bool = True

    def latest(self) -> LogHead | None:
        if not self.answers:
            raise HeadsUnavailable("down")
        return self.head

    def keep(self, head: LogHead) -> None:
        raise HeadsUnavailable("read only")


def leave_alone(log_path: Path) -> None:
    """Nobody meddles with the log."""


def write_into(log_path: Path) -> None:
    with log_path.open("ab") as file:
        file.write(b"somebody else was here")


@dataclass(frozen=True, slots=True)
class Situation:
    """What is asked, of which enclave, after what; a payout that may be signed, unless something is said."""

    data: bytes
    record: PayoutRecord | None = field(default_factory=good_record)
    before: tuple[bytes, ...] = ()
    limits: Limits = field(default_factory=Limits)
    conditions: Conditions = field(default_factory=Conditions)
    later: timedelta = timedelta()
    facts: PayoutFacts | None = None
    leaves: Leaves = field(default_factory=lambda: ListedLogs({ORIGINS[0]: LEAVES}))
    keyring: Keyring = KEYRING
    allowed_uids: frozenset[int] | None = None
    heads: FixedHeads | None = None
    earlier: tuple[LogEntry, ...] = ()
    meddle: Callable[[Path], None] = leave_alone

    def code(self, directory: Path) -> str | None:
        """What the last message is told, over a real socket; None if it is signed."""
        log_path, clock = directory / "signing.log", [NOW]
        records = {} if self.record is None else {PAYOUT_ID: self.record}
        with Logbook.open(log_path, now=NOW) as logbook:
            logbook.log.append(self.earlier, at=NOW)
        with (
            Logbook.open(log_path, now=NOW) as logbook,
            Server(
                socket_path=directory / "enclave.sock",
                keyring=self.keyring,
                facts=self.facts or MemoryFacts(records),
                leaves=self.leaves,
                logbook=logbook,
                clock=lambda: clock[0],
                limits=self.limits,
                conditions=self.conditions,
                approvers=lambda: ROSTER,
                allowed_uids=self.allowed_uids,
                mirror=None if self.heads is None else Mirror(logbook, self.heads),
            ) as server,
            served(server),
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller,
        ):
            caller.settimeout(10)
            caller.connect(str(directory / "enclave.sock"))
            for data in self.before:
                assert asked(caller, data).is_signed
            clock[0] += self.later
            self.meddle(log_path)
            return asked(caller, self.data).code


@contextmanager
def served(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()


def asked(caller: socket.socket, data: bytes) -> Told:
    caller.send(data)
    return told(caller.recv(MESSAGE_BYTES_MAX))


def payout(body: bytes | None = None, **changes: Tree) -> bytes:
    raw = body_of(CREDIT_TRANSFER) if body is None else body
    message: Members = {
        "purpose": "payout",
        "payout_id": PAYOUT_ID,
        "attempt_id": ATTEMPT_ID,
        "profile": "clearbank.sct",
        "scheme": "body_rsa_sha256",
        "target": None,
        "body": base64.b64encode(raw).decode(),
    }
    return datagram(message | changes)


def payout_to(authority: str = AUTHORITY, path: str = PATHS["clearbank.sct"]) -> bytes:
    """The payout, by HTTP message signature."""
    target: Members = {"method": "POST", "authority": authority, "path_with_query": path}
    return payout(scheme="http_message", target=target)


def resolved_in_the_log(*, number: int) -> LogEntry:
    facts = {"number": number, "sha256": "c0" * 32}
    return LogEntry(kind=EntryKind.KEYS_LOADED, purpose="keys", facts=facts)


def signed_in_the_log(checkpoint: Members, *, root: bytes) -> LogEntry:
    facts = {"origin": str(checkpoint["origin"]), "size": int(str(checkpoint["size"])), "root": root.hex()}
    return LogEntry(kind=EntryKind.GRANTED, purpose="checkpoint", facts=facts)


def saying(**changes: object) -> bytes:
    """A payout whose body says something else."""
    return payout(body_of(CREDIT_TRANSFER | changes))  # type: ignore[arg-type]  # JSON, whatever it says


def changed(column: str, value: str | int) -> PayoutRecord:
    """A record that says something else, and its order with it."""
    return record_of(order_text(**{column: value}), **{column: value})


def of(good: Members, **changes: Tree) -> bytes:
    return datagram(good | changes)


CREDITOR: Members = {"name": "Blumen Becker GmbH", "accountIban": "DE89370400440532013000"}
CHECKPOINT = checkpoint_of(ORIGINS[0], 7, root_of(7))
PAYMENT = base64.b64encode(body_of(CREDIT_TRANSFER)).decode()
HEAD = LogHead(count=1_000, hash="0f" * 32)
MIRRORED = LogEntry(kind=EntryKind.MIRRORED, purpose="mirror", facts={"count": HEAD.count, "hash": HEAD.hash})
OTHER_DIGEST = sha256(b"another order").digest()

SECOND = timedelta(seconds=1)
READY = fit(good_record())


def conditional(**changes: object) -> Situation:
    """A payout that the strictest conditions let through, spoilt in one of them."""
    return Situation(payout(), replace(READY, **changes), conditions=STRICT)  # type: ignore[arg-type]  # as spoilt


EXAMPLES: Mapping[RefusalCode, Sequence[Situation | CardSituation]] = {
    RefusalCode.PEER_REFUSED: [Situation(payout(), allowed_uids=frozenset())],
    RefusalCode.MESSAGE_TOO_LARGE: [Situation(b" " * (MESSAGE_BYTES_MAX + 1))],
    RefusalCode.MESSAGE_NOT_CANONICAL: [Situation(payout() + b" ")],
    RefusalCode.MESSAGE_FIELDS_REFUSED: [Situation(payout(amount="1.00")), Situation(payout(purpose="sign"))],
    RefusalCode.FACTS_UNAVAILABLE: [
        Situation(payout(), facts=SilentDatabase()),
        Situation(payout(), facts=BrokenFacts()),
        Situation(datagram(CHECKPOINT), leaves=SilentLogs()),
    ],
    RefusalCode.PAYOUT_UNKNOWN: [Situation(payout(), record=None)],
    RefusalCode.STATE_NOT_SUBMITTED: [Situation(payout(), good_record(state="settled"))],
    RefusalCode.ATTEMPT_NOT_OPEN: [Situation(payout(), good_record(open_attempt_id=None))],
    RefusalCode.ALREADY_SENT: [Situation(payout(), good_record(attempts_possibly_sent=1))],
    RefusalCode.ORDER_DIGEST_MISMATCH: [Situation(payout(), good_record(order_digest=OTHER_DIGEST))],
    RefusalCode.ORDER_FIELDS_DIFFER: [Situation(payout(), good_record(creditor_iban="NL20INGB0001234567"))],
    RefusalCode.NOT_CLEARED: [
        Situation(payout(), good_record(cleared_digest=None)),
        Situation(payout(), good_record(cleared_digest=None, order_canonical=None)),
    ],
    RefusalCode.CLEARANCE_FOR_OTHER_ORDER: [Situation(payout(), good_record(cleared_digest=OTHER_DIGEST))],
    RefusalCode.RAIL_MISMATCH: [Situation(payout(profile="clearbank.sct_inst"))],
    RefusalCode.TARGET_REFUSED: [
        Situation(payout(scheme="http_message")),
        Situation(payout_to(path=PATHS["clearbank.sct_inst"])),
        Situation(of(MESSAGES[0], scheme="http_message", target=MESSAGES[-1]["target"])),
        Situation(of(MESSAGES[-1], target=None)),
    ],
    RefusalCode.BODY_UNREADABLE: [
        Situation(payout(b"{")),
        Situation(payout(profile="iso20022.sct")),
        Situation(payout(body_of(CREDIT_TRANSFER, amount=None))),
    ],
    RefusalCode.BODY_AMOUNT_DIFFERS: [Situation(payout(body_of(CREDIT_TRANSFER, amount="1234.57")))],
    RefusalCode.BODY_CURRENCY_DIFFERS: [
        Situation(saying(currency="USD")),
        Situation(saying(currency="USD"), changed("currency", "USD")),
    ],
    RefusalCode.BODY_CREDITOR_DIFFERS: [
        Situation(saying(creditor=CREDITOR | {"name": "Blumen Bäcker GmbH"}))
    ],
    RefusalCode.BODY_DEBTOR_DIFFERS: [Situation(saying(debtor=CREDITOR))],
    RefusalCode.BODY_REFERENCE_DIFFERS: [Situation(saying(endToEndId="PAY-2"))],
    RefusalCode.BODY_UNKNOWN_FIELD: [
        Situation(saying(bic="INGBNL2A")),
        Situation(saying(creditor=CREDITOR | {"bic": "INGBNL2A"})),
    ],
    RefusalCode.AMOUNT_NOT_POSITIVE: [
        Situation(payout(body_of(CREDIT_TRANSFER, amount="0")), changed("amount_minor", 0)),
        Situation(payout(body_of(CREDIT_TRANSFER, amount="-0.01")), changed("amount_minor", -1)),
    ],
    RefusalCode.OVER_PAYMENT_LIMIT: [Situation(payout(), limits=Limits(per_payment_minor=AMOUNT_MINOR - 1))],
    RefusalCode.OVER_HOUR_LIMIT: [Situation(payout(), limits=Limits(per_hour_minor=AMOUNT_MINOR - 1))],
    RefusalCode.OVER_DAY_LIMIT: [Situation(payout(), limits=Limits(per_day_minor=AMOUNT_MINOR - 1))],
    RefusalCode.SIGNED_OTHER_BODY: [Situation(payout(body_of(CREDIT_TRANSFER) + b"\n"), before=(payout(),))],
    RefusalCode.SIGNED_OTHER_SCHEME: [
        Situation(payout_to(), before=(payout(),)),
        Situation(payout(scheme="detached_jws"), before=(payout_to(),)),
        Situation(payout(), before=(payout(scheme="detached_jws"),)),
    ],
    RefusalCode.SIGNED_OTHER_TARGET: [
        Situation(payout_to("other.example"), before=(payout_to(), payout_to())),
    ],
    RefusalCode.BENEFICIARY_UNVERIFIED: [
        conditional(beneficiary_verified_at=None),
        conditional(beneficiary_verified_at=NOW - COOLING - SECOND),
    ],
    RefusalCode.BENEFICIARY_COOLING: [
        conditional(beneficiary_changed_at=NOW - COOLING + SECOND, beneficiary_verified_at=NOW)
    ],
    RefusalCode.SCREENING_STALE: [conditional(screened_at=NOW - SCREENING_AGE_MAX - SECOND)],
    RefusalCode.APPROVALS_MISSING: [conditional(approvals=approved(READY, "anna").approvals)],
    RefusalCode.APPROVER_IS_INITIATOR: [conditional(approvals=approved(READY, "anna", INITIATOR).approvals)],
    RefusalCode.QUERY_PATH_REFUSED: [
        Situation(of(QUERIES[0], path_with_query="https://elsewhere.example/")),
        Situation(of(QUERIES[0], method="DELETE")),
        Situation(of(QUERIES[0], profile=QUERIES[1]["profile"])),
        Situation(of(QUERIES[-1], path_with_query=TRANSACTIONS + "&x=1")),
    ],
    RefusalCode.QUERY_TIME_REFUSED: [Situation(of(QUERIES[0], request_time=str(NOW_S + 121)))],
    RefusalCode.MESSAGE_SHAPE_REFUSED: [Situation(of(MESSAGES[0], body=PAYMENT))],
    RefusalCode.WEBHOOK_PAYLOAD_REFUSED: [
        Situation(of(WEBHOOK, payload=base64.b64encode(payload).decode()))
        for payload in (b"[]", b"{", b'{"a":1,"a":2}')
    ],
    RefusalCode.TOKEN_LIFETIME_REFUSED: [
        Situation(of(TOKENS[0], claims=CLAIMS | {"expires_at": NOW_S + 3601}))
    ],
    RefusalCode.TOKEN_CLOCK_REFUSED: [Situation(of(TOKENS[0], claims=CLAIMS | {"issued_at": NOW_S + 121}))],
    RefusalCode.CHECKPOINT_REWINDS: [Situation(of(CHECKPOINT, size=6), before=(datagram(CHECKPOINT),))],
    RefusalCode.CHECKPOINT_BEYOND_LOG: [
        Situation(datagram(checkpoint_of(ORIGINS[0], len(LEAVES) + 1, root_of(len(LEAVES) + 1)))),
        Situation(of(CHECKPOINT, origin="nobody.example")),
        Situation(datagram(CHECKPOINT), leaves=ListedLogs({ORIGINS[0]: leaves_of(6)})),
    ],
    RefusalCode.CHECKPOINT_FORKS: [
        Situation(datagram(checkpoint_of(ORIGINS[0], 7, root_of(8))), before=(datagram(CHECKPOINT),)),
        Situation(datagram(checkpoint_of(ORIGINS[0], 8, root_of(7))), before=(datagram(CHECKPOINT),)),
        Situation(
            of(CHECKPOINT, size=8), earlier=(signed_in_the_log(CHECKPOINT, root=root_of(7, history=1)),)
        ),
    ],
    RefusalCode.CHECKPOINT_GROWING: [
        Situation(of(CHECKPOINT, size=LEAVES_MAX + 1), leaves=ListedLogs({ORIGINS[0]: LEAVES * 200}))
    ],
    RefusalCode.MANIFEST_UNREADABLE: [Situation(of(MANIFESTS[0], manifest=base64.b64encode(b"[]").decode()))],
    RefusalCode.MANIFEST_FORMAT_REFUSED: [Situation(of(MANIFESTS[0], manifest=PAYMENT))],
    RefusalCode.NOT_MEASURED: [Situation(datagram({"purpose": "attestation", "nonce": "A" * 43 + "="}))],
    RefusalCode.CARDS_OVER_HOUR: [Situation(datagram(SEAL), limits=Limits(cards_per_hour=0))],
    RefusalCode.CARD_VAULT_CLOSED: [
        Situation(datagram(said), keyring=Keyring(KEYRING.backend, NothingResolved()))
        for said in (SEAL, RESEAL, FORWARD)
    ],
    **CARD_EXAMPLES,
    RefusalCode.MIRROR_UNAVAILABLE: [Situation(payout(), heads=FixedHeads(None, answers=False))],
    RefusalCode.LOG_PUT_BACK: [Situation(payout(), heads=FixedHeads(HEAD))],
    RefusalCode.DATABASE_PUT_BACK: [Situation(payout(), heads=FixedHeads(None), earlier=(MIRRORED,))],
    RefusalCode.CLOCK_WENT_BACK: [
        Situation(payout(), before=(payout(),), later=-timedelta(seconds=CLOCK_SKEW_S_MAX, microseconds=1))
    ],
    RefusalCode.KEY_UNAVAILABLE: [
        Situation(data, keyring=Keyring(KEYRING.backend, NothingResolved()))
        for data in (payout(), payout_to(), datagram(QUERIES[-1]), datagram(WEBHOOK))
    ],
    RefusalCode.REGISTER_UNAVAILABLE: [
        Situation(payout(), keyring=Keyring(KEYRING.backend, SilentRegistrar()))
    ],
    RefusalCode.REGISTER_PUT_BACK: [Situation(payout(), earlier=(resolved_in_the_log(number=3),))],
    RefusalCode.LOG_UNAVAILABLE: [
        Situation(payout(), meddle=write_into),
        Situation(payout(), meddle=Path.unlink),
    ],
    RefusalCode.INTERNAL: [
        Situation(payout(), keyring=lost_token()),
        Situation(payout(), replace(good_record(), order_digest="not bytes")),  # type: ignore[arg-type]  # a broken row
    ],
}


def test_there_is_an_example_of_every_reason_to_refuse() -> None:
    assert list(EXAMPLES) == list(RefusalCode)


@pytest.mark.parametrize(
    ("code", "situation"),
    [(code, situation) for code, situations in EXAMPLES.items() for situation in situations],
)
def test_each_example_is_refused_for_exactly_its_reason(
    tmp_path: Path, code: RefusalCode, situation: Situation | CardSituation
) -> None:
    assert situation.code(tmp_path) == code


def test_the_situation_that_the_examples_spoil_is_signed(tmp_path: Path) -> None:
    assert Situation(payout()).code(tmp_path) is None


def test_the_situation_that_spoilt_conditions_spoil_is_signed(tmp_path: Path) -> None:
    assert conditional().code(tmp_path) is None


@pytest.mark.parametrize("situation", ANSWERED)
def test_the_cards_that_the_examples_spoil_are_answered(tmp_path: Path, situation: CardSituation) -> None:
    assert situation.code(tmp_path) is None
