"""The server in this process, with software keys: sockets, rounds, log and refusals together."""

import base64
import hashlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from enclave.allowance import LEAVES_MAX
from enclave.client import EnclaveClient, EnclaveRefused, EnclaveUnavailable
from enclave.facts import PayoutFacts
from enclave.keyring import Keyring
from enclave.keys import Purpose, algorithm_of, verifies
from enclave.leaves import Leaves
from enclave.log import EntryKind, LogRecord, audit
from enclave.logbook import Logbook
from enclave.notes import Checkpoint, verify_checkpoint
from enclave.policy import Conditions, Limits
from enclave.protocol import EXPORT_PREFIX, MESSAGE_BYTES_MAX, Signature
from enclave.server import CALLERS_MAX, Server, SocketUnavailable
from enclave.signer import Letter, Peer
from enclave.tokens import verify_access_token
from enclave.tree import Tree
from tests.enclave.broken import BrokenFacts, SilentDatabase, lost_token
from tests.enclave.logs import ORIGIN, ListedLogs, SilentLogs, leaves_of, root_of
from tests.enclave.payouts import (
    ATTEMPT_ID,
    CREDIT_TRANSFER,
    PAYOUT_ID,
    MemoryFacts,
    body_of,
    good_record,
)
from tests.enclave.rings import public_pem, software_keyring
from tests.enclave.shop_token import issue_token
from tests.enclave.signers import signer_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEYRING = software_keyring()
BODY = body_of(CREDIT_TRANSFER)
OTHER = "other.example"
REQUEST_ID = "req_" + "7e" * 16
MANIFEST = b'{"format":"tallystick-export","files":[]}'


@dataclass
class Enclave:
    """A running server and what it works with."""

    directory: Path
    keyring: Keyring = KEYRING
    facts: PayoutFacts = field(default_factory=lambda: MemoryFacts({PAYOUT_ID: good_record()}))
    leaves: Leaves = field(default_factory=lambda: ListedLogs({ORIGIN: leaves_of(9), OTHER: leaves_of(1)}))
    limits: Limits = field(default_factory=Limits)
    allowed_uids: frozenset[int] | None = None

    @property
    def socket_path(self) -> Path:
        return self.directory / "enclave.sock"

    @property
    def log_path(self) -> Path:
        return self.directory / "signing.log"

    def records(self) -> list[LogRecord]:
        with Logbook.open(self.log_path, now=NOW) as logbook:
            return list(logbook.log.records())

    @contextmanager
    def running(self) -> Iterator[EnclaveClient]:
        with (
            Logbook.open(self.log_path, now=NOW) as logbook,
            Server(
                socket_path=self.socket_path,
                keyring=self.keyring,
                facts=self.facts,
                leaves=self.leaves,
                logbook=logbook,
                clock=lambda: NOW,
                limits=self.limits,
                conditions=Conditions(),
                approvers=dict,
                mirror=None,
                allowed_uids=self.allowed_uids,
            ) as server,
        ):
            thread = threading.Thread(target=server.serve)
            thread.start()
            try:
                with EnclaveClient(self.socket_path, timeout_s=10) as client:
                    yield client
            finally:
                server.stop()
                thread.join(timeout=10)
                assert not thread.is_alive()


@pytest.fixture
def enclave(tmp_path: Path) -> Enclave:
    return Enclave(tmp_path)


def sign_payout(client: EnclaveClient, body: bytes = BODY) -> Signature:
    return client.payout(payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=body)


def code_of(refused: pytest.ExceptionInfo[EnclaveRefused]) -> str:
    return refused.value.code


def test_a_payout_is_signed_with_the_payout_key_over_the_exact_body(enclave: Enclave) -> None:
    with enclave.running() as client:
        answer = sign_payout(client)

    pem = public_pem(KEYRING, Purpose.PAYOUT)
    assert answer.key_id == "payout/v1"
    assert answer.digest == hashlib.sha256(BODY).hexdigest()
    assert base64.b64decode(answer.signature_base64) == answer.signature
    assert verifies(Purpose.PAYOUT, pem, message=BODY, signature=answer.signature)
    assert not verifies(Purpose.PAYOUT, pem, message=BODY + b" ", signature=answer.signature)


def test_a_payout_is_signed_again_for_the_same_body_and_for_no_other(enclave: Enclave) -> None:
    other = BODY.replace(b'"amount": 1234.56', b'"amount": 1234.560')
    assert other != BODY

    with enclave.running() as client:
        assert sign_payout(client) == sign_payout(client)
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client, other)
    assert code_of(refused) == "signed_other_body"


def test_what_was_signed_is_remembered_over_a_restart(enclave: Enclave) -> None:
    with enclave.running() as client:
        first = sign_payout(client)

    with enclave.running() as client:
        assert sign_payout(client) == first
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client, BODY + b"\n")
    assert code_of(refused) == "signed_other_body"


def test_two_bodies_for_one_payout_in_one_round_get_one_signature(tmp_path: Path) -> None:
    facts = MemoryFacts({PAYOUT_ID: good_record()})
    letters = [
        Letter(peer=Peer(pid=1, uid=0), data=_payout_message(body)) for body in (BODY, BODY + b"\n", BODY)
    ]

    with Logbook.open(tmp_path / "signing.log", now=NOW) as logbook:
        signer = signer_on(
            logbook,
            keyring=KEYRING,
            facts=facts,
            clock=lambda: NOW,
        )
        answers = signer.answer(letters)

    assert [b'"ok":true' in answer for answer in answers] == [True, False, True]
    assert b"signed_other_body" in answers[1]
    assert answers[0] == answers[2]


def _payout_message(body: bytes) -> bytes:
    text = base64.b64encode(body).decode()
    return (
        f'{{"attempt_id":"{ATTEMPT_ID}","body":"{text}","payout_id":"{PAYOUT_ID}",'
        f'"profile":"clearbank.sct","purpose":"payout",'
        f'"scheme":"body_rsa_sha256","target":null}}'
    ).encode()


def test_a_payout_over_the_configured_limit_is_refused(tmp_path: Path) -> None:
    with (
        Enclave(tmp_path, limits=Limits(per_payment_minor=1)).running() as client,
        pytest.raises(EnclaveRefused) as refused,
    ):
        sign_payout(client)
    assert code_of(refused) == "over_payment_limit"


def test_without_the_database_payouts_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Enclave(tmp_path, facts=SilentDatabase()).running() as client:
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client)
        client.bank_message(profile="clearbank.webhook_ack", body=b'{"Nonce":1}')
    assert code_of(refused) == "facts_unavailable"


def test_an_unexpected_error_is_a_refusal(tmp_path: Path) -> None:
    with Enclave(tmp_path, facts=BrokenFacts()).running() as client:
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client)
        assert issue_token(client, now=NOW)
    assert code_of(refused) == "facts_unavailable"


def test_a_lost_token_is_a_refusal_and_stands_in_the_log(tmp_path: Path) -> None:
    enclave = Enclave(tmp_path, keyring=lost_token())

    with enclave.running() as client, pytest.raises(EnclaveRefused) as refused:
        sign_payout(client)

    assert code_of(refused) == "internal"
    assert [record.entry.kind for record in enclave.records()][-2:] == [EntryKind.GRANTED, EntryKind.FAILED]


def test_a_query_is_signed_over_its_parts_without_separators(enclave: Enclave) -> None:
    time = str(int(NOW.timestamp()))

    with enclave.running() as client:
        answer = client.bank_query(
            profile="clearbank.statement_page",
            method="GET",
            path_with_query="/v1/statements/CAMT053_1?pageNumber=1",
            request_id=REQUEST_ID,
            request_time=time,
        )

    message = f"GET/v1/statements/CAMT053_1?pageNumber=1{REQUEST_ID}{time}".encode()
    pem = public_pem(KEYRING, Purpose.BANK)
    assert verifies(Purpose.BANK, pem, message=message, signature=answer.signature)


def test_a_payment_is_not_signed_as_a_message(enclave: Enclave) -> None:
    with enclave.running() as client, pytest.raises(EnclaveRefused) as refused:
        client.bank_message(profile="clearbank.webhook_ack", body=BODY)
    assert code_of(refused) == "message_shape_refused"


def test_a_token_opens_what_its_claims_say(enclave: Enclave) -> None:
    with enclave.running() as client:
        token = issue_token(client, now=NOW)
        keys = {key.key_id: key.pem for key in client.public_keys().values()}

    claims = verify_access_token(token, keys, issuer="us", audience="api", now=NOW)
    assert (claims.client_id, claims.scopes) == ("shop", ("checkouts:write",))


def test_a_token_of_an_hour_and_a_second_is_refused(enclave: Enclave) -> None:
    with enclave.running() as client, pytest.raises(EnclaveRefused) as refused:
        issue_token(client, now=NOW, lifetime_s=3601)
    assert code_of(refused) == "token_lifetime_refused"


def test_checkpoints_grow_over_a_restart_and_never_rewind_or_fork(enclave: Enclave) -> None:
    root = root_of(7)
    with enclave.running() as client:
        note = client.checkpoint(origin=ORIGIN, size=7, root=root).note

    with enclave.running() as client:
        assert client.checkpoint(origin=ORIGIN, size=7, root=root).note == note
        with pytest.raises(EnclaveRefused) as forked:
            client.checkpoint(origin=ORIGIN, size=7, root=b"f" * 32)
        with pytest.raises(EnclaveRefused) as rewound:
            client.checkpoint(origin=ORIGIN, size=6, root=root_of(6))
        client.checkpoint(origin=OTHER, size=1, root=root_of(1))
        client.checkpoint(origin=ORIGIN, size=9, root=root_of(9))

    pem = public_pem(KEYRING, Purpose.CHECKPOINT)
    assert verify_checkpoint(note, origin=ORIGIN, public_key_pem=pem) == Checkpoint(ORIGIN, 7, root)
    assert (code_of(forked), code_of(rewound)) == ("checkpoint_forks", "checkpoint_rewinds")


@pytest.mark.parametrize(
    ("size", "root", "code"),
    [
        (8, root_of(8, history=1), "checkpoint_forks"),
        (10, root_of(10), "checkpoint_beyond_log"),
        (2**63 - 1, root_of(9), "checkpoint_beyond_log"),
    ],
)
def test_a_checkpoint_of_other_leaves_is_refused_and_the_true_one_is_signed(
    enclave: Enclave, size: int, root: bytes, code: str
) -> None:
    with enclave.running() as client:
        client.checkpoint(origin=ORIGIN, size=7, root=root_of(7))
        with pytest.raises(EnclaveRefused) as refused:
            client.checkpoint(origin=ORIGIN, size=size, root=root)
        client.checkpoint(origin=ORIGIN, size=9, root=root_of(9))

    assert code_of(refused) == code


def test_without_leaves_only_what_was_signed_is_signed_again(enclave: Enclave) -> None:
    with enclave.running() as client:
        note = client.checkpoint(origin=ORIGIN, size=7, root=root_of(7)).note

    enclave.leaves = SilentLogs()
    with enclave.running() as client:
        assert client.checkpoint(origin=ORIGIN, size=7, root=root_of(7)).note == note
        with pytest.raises(EnclaveRefused) as refused:
            client.checkpoint(origin=ORIGIN, size=8, root=root_of(8))
    assert code_of(refused) == "facts_unavailable"


def _checkpoint_letter(size: int, root: bytes) -> Letter:
    text = base64.b64encode(root).decode()
    data = f'{{"origin":"{ORIGIN}","purpose":"checkpoint","root":"{text}","size":{size}}}'
    return Letter(peer=Peer(pid=1, uid=0), data=data.encode())


def test_requests_for_wrong_roots_hold_nobody_up_for_long(tmp_path: Path) -> None:
    leaves = leaves_of(LEAVES_MAX)
    logs, root = ListedLogs({ORIGIN: leaves}), Tree().with_leaves(leaves).root()
    wrong = [_checkpoint_letter(LEAVES_MAX, bytes([number]) * 32) for number in range(60)]
    ping = Letter(peer=Peer(pid=1, uid=0), data=b'{"purpose":"ping"}')
    with Logbook.open(tmp_path / "signing.log", now=NOW) as logbook:
        signer = signer_on(logbook, keyring=KEYRING, leaves=logs, clock=lambda: NOW)
        signer.record_start()
        first = signer.answer([*wrong, ping])
        read_first = sum(end - start for start, end in logs.read)
        second = signer.answer([*wrong, _checkpoint_letter(LEAVES_MAX, root)])
        read_second = sum(end - start for start, end in logs.read) - read_first
        third = signer.answer(wrong)

    assert all(b"checkpoint_growing" in answer for answer in first[:-1])
    assert all(b'"ok":true' in answers[-1] for answers in (first, second))
    assert all(b"checkpoint_forks" in answer for answer in [*second[:-1], *third])
    assert read_first <= LEAVES_MAX
    assert read_first + read_second <= LEAVES_MAX + 10, "besides its leaves, only whether the last is there"


def test_checkpoints_of_one_round_go_on_from_one_another_and_a_lost_round_leaves_nothing(
    tmp_path: Path,
) -> None:
    log_path, logs = tmp_path / "signing.log", ListedLogs({ORIGIN: leaves_of(9)})
    round_ = [_checkpoint_letter(size, root_of(size)) for size in (5, 3, 7, 7)]
    with Logbook.open(log_path, now=NOW) as logbook:
        signer = signer_on(logbook, keyring=KEYRING, leaves=logs, clock=lambda: NOW)
        signer.record_start()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log_path.stat().st_size + 10, hard))
        try:
            lost = signer.answer(round_)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        logs.logs[ORIGIN] = leaves_of(9, history=1)
        told = signer.answer(
            [_checkpoint_letter(5, root_of(5)), _checkpoint_letter(3, root_of(3, history=1))]
        )
        logs.logs[ORIGIN] = leaves_of(3, history=1) + leaves_of(9)[3:]
        last = signer.answer([_checkpoint_letter(4, root_of(4, history=1))])

    assert all(b"log_unavailable" in answer for answer in lost)
    assert b"checkpoint_forks" in told[0]
    assert b'"ok":true' in told[1]
    assert b"checkpoint_forks" in last[0]
    assert (0, 5) in logs.read
    assert (5, 7) in logs.read


def test_a_manifest_is_signed_behind_its_prefix(enclave: Enclave) -> None:
    with enclave.running() as client:
        answer = client.export(manifest=MANIFEST)
        with pytest.raises(EnclaveRefused) as refused:
            client.export(manifest=b'{"format":"other","files":[]}')

    pem = public_pem(KEYRING, Purpose.REPORT)
    message = EXPORT_PREFIX + MANIFEST
    assert verifies(Purpose.REPORT, pem, message=message, signature=answer.signature)
    assert not verifies(Purpose.REPORT, pem, message=MANIFEST, signature=answer.signature)
    assert code_of(refused) == "manifest_format_refused"


def test_each_purpose_has_its_own_key(enclave: Enclave) -> None:
    with enclave.running() as client:
        keys = client.public_keys()

    assert sorted(keys) == sorted(purpose for purpose in Purpose if not algorithm_of(purpose).is_secret)
    assert len({key.pem for key in keys.values()}) == len(keys)


def test_every_decision_is_in_the_log_and_nobodys_name_is(enclave: Enclave) -> None:
    with enclave.running() as client:
        client.ping()
        sign_payout(client)
        issue_token(client, now=NOW)
        with pytest.raises(EnclaveRefused):
            client.bank_message(profile="clearbank.webhook_ack", body=BODY)
        with pytest.raises(EnclaveRefused):
            client.export(manifest=b"{" * 60_000)

    records = enclave.records()
    told = [(str(record.entry.kind), record.entry.purpose) for record in records]
    assert told == [
        ("started", "enclave"),
        ("keys_loaded", "keys"),
        ("granted", "payout"),
        ("granted", "access_token"),
        ("refused", "bank_message"),
        ("refused", "unreadable"),
    ]
    assert records[2].entry.facts["peer_uid"] == os.geteuid()
    assert records[2].entry.facts["amount_minor"] == 123_456
    assert records[4].entry.facts["code"] == "message_shape_refused"
    text = enclave.log_path.read_text()
    assert not any(word in text for word in ("Becker", "DE8937", "NL91", "eyJ"))


def test_the_record_is_on_the_disk_before_the_answer(enclave: Enclave) -> None:
    with enclave.running() as client:
        before = audit(enclave.log_path).count
        sign_payout(client)

        assert audit(enclave.log_path).count == before + 1


def test_a_log_that_takes_no_more_means_no_signature(enclave: Enclave) -> None:
    with enclave.running() as client:
        sign_payout(client)
        with enclave.log_path.open("ab") as file:
            file.write(b"somebody else was here")
        with pytest.raises(EnclaveRefused) as refused:
            client.bank_message(profile="clearbank.webhook_ack", body=b'{"Nonce":1}')
        client.ping()
    assert code_of(refused) == "log_unavailable"


def test_what_could_not_be_recorded_is_not_remembered(tmp_path: Path) -> None:
    facts = MemoryFacts({PAYOUT_ID: good_record()})
    log_path = tmp_path / "signing.log"
    with Logbook.open(log_path, now=NOW) as logbook:
        signer = signer_on(
            logbook,
            keyring=KEYRING,
            facts=facts,
            clock=lambda: NOW,
        )
        signer.record_start()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log_path.stat().st_size + 10, hard))
        try:
            first = signer.answer([Letter(peer=Peer(pid=1, uid=0), data=_payout_message(BODY + b"\n"))])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        second = signer.answer([Letter(peer=Peer(pid=1, uid=0), data=_payout_message(BODY))])

    assert b"log_unavailable" in first[0]
    assert b'"ok":true' in second[0]
    assert audit(log_path).count == 3


def test_a_peer_that_may_not_talk_is_told_so_and_nothing_else(tmp_path: Path) -> None:
    enclave = Enclave(tmp_path, allowed_uids=frozenset({os.geteuid() + 4242}))

    with enclave.running() as client:
        for ask in (client.ping, client.public_keys):
            with pytest.raises(EnclaveRefused) as refused:
                ask()
            assert code_of(refused) == "peer_refused"

    assert [str(record.entry.kind) for record in enclave.records()] == ["started", "keys_loaded"]


def test_the_socket_is_closed_to_others_unless_they_are_named(tmp_path: Path) -> None:
    own, named = tmp_path / "own", tmp_path / "named"
    own.mkdir()
    named.mkdir()

    with Enclave(own).running():
        assert (own / "enclave.sock").stat().st_mode & 0o777 == 0o600
    with Enclave(named, allowed_uids=frozenset({os.geteuid(), 4242})).running():
        assert (named / "enclave.sock").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"garbage", b"message_not_canonical"),
        (b'{"purpose":"ping","x":1}', b"message_fields_refused"),
        (b"x" * (MESSAGE_BYTES_MAX + 1), b"message_too_large"),
        (b"x" * (MESSAGE_BYTES_MAX + 5000), b"message_too_large"),
    ],
)
def test_garbage_is_answered_and_the_next_request_is_heard(
    enclave: Enclave, data: bytes, code: bytes
) -> None:
    with enclave.running(), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(10)
        connection.connect(str(enclave.socket_path))
        connection.send(data)
        assert code in connection.recv(MESSAGE_BYTES_MAX)
        connection.send(b'{"purpose":"ping"}')
        assert connection.recv(MESSAGE_BYTES_MAX) == b'{"ok":true}'


def test_many_callers_are_answered_and_each_gets_its_own(enclave: Enclave) -> None:
    results: dict[int, list[str]] = {}

    def call(number: int) -> None:
        with EnclaveClient(enclave.socket_path) as client:
            bodies = [b'{"Nonce":%d}' % (number * 100 + turn) for turn in range(10)]
            answers = [client.bank_message(profile="clearbank.webhook_ack", body=body) for body in bodies]
            agree = [hashlib.sha256(b).hexdigest() == a.digest for b, a in zip(bodies, answers, strict=True)]
            results[number] = [str(all(agree))]

    with enclave.running():
        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert results == {number: ["True"] for number in range(8)}
    assert audit(enclave.log_path).count == 82


def test_one_client_may_be_shared_by_threads(enclave: Enclave) -> None:
    agree: list[bool] = []

    with enclave.running() as client:

        def call(number: int) -> None:
            body = b'{"Nonce":%d}' % number
            answer = client.bank_message(profile="clearbank.webhook_ack", body=body)
            agree.append(answer.digest == hashlib.sha256(body).hexdigest())

        threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert agree == [True] * 16


def test_of_too_many_callers_the_one_silent_longest_is_hung_up_on(enclave: Enclave) -> None:
    with enclave.running() as client:
        client.ping()
        others = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(CALLERS_MAX)]
        for other in others:
            other.settimeout(10)
            other.connect(str(enclave.socket_path))

        client.ping()
        assert others[0].recv(1) == b"", "nobody locks the others out by holding connections"
        others[-1].send(b'{"purpose":"ping"}')
        assert others[-1].recv(100) == b'{"ok":true}'
        for other in others:
            other.close()


def test_a_caller_that_hangs_up_without_reading_does_no_harm(enclave: Enclave) -> None:
    with enclave.running() as client:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(str(enclave.socket_path))
                connection.send(b'{"purpose":"public_keys"}')
        client.ping()


def test_a_client_finds_a_restarted_enclave_again(enclave: Enclave) -> None:
    with EnclaveClient(enclave.socket_path) as client:
        with enclave.running():
            client.ping()
        with pytest.raises(EnclaveUnavailable):
            client.ping()
        with enclave.running():
            client.ping()


def test_a_client_does_not_wait_for_ever_and_drops_the_late_answer(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        with (
            EnclaveClient(path, timeout_s=0.05) as client,
            pytest.raises(EnclaveUnavailable, match="in time"),
        ):
            client.ping()
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(100) == b'{"purpose":"ping"}'
            assert accepted.recv(100) == b""


@pytest.mark.parametrize(
    "answer", [b"{}", b"junk", b'{"ok":true,"token":1}', b'{"ok":true}', b'{"ok":false}']
)
def test_an_answer_that_cannot_be_read_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()

        def reply() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                accepted.send(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with EnclaveClient(path) as client, pytest.raises(EnclaveUnavailable, match="cannot be read"):
            client.export(manifest=MANIFEST)
        thread.join()


def test_a_second_server_does_not_take_the_socket_over(enclave: Enclave, tmp_path: Path) -> None:
    with (
        enclave.running(),
        Logbook.open(tmp_path / "second.log", now=NOW) as logbook,
        pytest.raises(SocketUnavailable, match="another enclave"),
    ):
        Server(
            socket_path=enclave.socket_path,
            keyring=KEYRING,
            facts=enclave.facts,
            leaves=enclave.leaves,
            logbook=logbook,
            clock=lambda: NOW,
            limits=Limits(),
            conditions=Conditions(),
            approvers=dict,
            mirror=None,
        )


def test_a_socket_left_behind_by_a_crash_is_replaced(enclave: Enclave) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(enclave.socket_path))

    with enclave.running() as client:
        client.ping()


def test_a_file_in_the_sockets_place_is_left_alone(enclave: Enclave) -> None:
    enclave.socket_path.write_text("a letter to somebody")

    with pytest.raises(SocketUnavailable), enclave.running():
        pass
    assert enclave.socket_path.read_text() == "a letter to somebody"


def test_a_row_with_a_long_text_is_refused_and_leaves_the_log_whole(tmp_path: Path) -> None:
    enclave = Enclave(tmp_path, facts=MemoryFacts({PAYOUT_ID: good_record(currency="E" * 20_000)}))

    with enclave.running() as client:
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client)
        assert issue_token(client, now=NOW)
    assert code_of(refused) == "order_fields_differ"
    (record,) = (record for record in enclave.records() if record.entry.kind is EntryKind.REFUSED)
    assert str(record.entry.facts["currency"]).startswith("sha256 ")


def test_a_row_of_another_type_is_refused_and_logged(tmp_path: Path) -> None:
    enclave = Enclave(tmp_path, facts=MemoryFacts({PAYOUT_ID: good_record(amount_minor=Decimal(1))}))

    with enclave.running() as client:
        with pytest.raises(EnclaveRefused) as refused:
            sign_payout(client)
        assert issue_token(client, now=NOW)
    assert code_of(refused) == "order_fields_differ"
    (record,) = (record for record in enclave.records() if record.entry.kind is EntryKind.REFUSED)
    assert record.entry.facts["amount_minor"] == "Decimal"
