"""What a running enclave has given up, as the kernel sees it; as root and as an ordinary user.

Started as root, the enclaves here become another user; started as an ordinary user, they stay who they are, and
the refusal to become anybody else is what there is to see.
"""

import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from enclave.client import EnclaveRefused
from enclave.hardening import (
    DESCRIPTORS_MAX,
    THREADS_MAX,
    HardeningRefused,
    HardeningStep,
    insist,
)
from enclave.keys import Purpose
from enclave.server import CALLERS_MAX
from tests.conftest import Database
from tests.enclave.conftest import empty_token
from tests.enclave.payouts import ATTEMPT_ID, CREDIT_TRANSFER, PAYOUT_ID, body_of
from tests.enclave.process import PIN, RunningEnclave, SoftHsmToken, secret_on_a_descriptor

NONCE = b'{"Nonce":3141592653}'
IS_ROOT = os.geteuid() == 0
OTHER_USER = pwd.getpwnam("nobody")
# Who the enclaves of these tests are in the end, and how they are told.
ENCLAVE_UID = OTHER_USER.pw_uid if IS_ROOT else os.geteuid()
ENCLAVE_GID = OTHER_USER.pw_gid if IS_ROOT else os.getegid()
BECOME: dict[str, str] = {"user": OTHER_USER.pw_name} if IS_ROOT else {}
LIMITS = {
    "per_hour_limit_minor": "1000000",
    "per_day_limit_minor": "1000000",
    "approvals_above_minor": "10000",
    "approvals_needed": "2",
    "cooling_period_s": "86400",
    "screening_age_max_s": "86400",
}
PRODUCTION = {"production": "", **LIMITS}
SOFTWARE = {"key_backend": "software"}

STEPS = (
    "umask=077",
    "core=0",
    f"descriptors={DESCRIPTORS_MAX}",
    f"threads={THREADS_MAX}",
    "file_size=unlimited",
    "mlockall",
    "unprivileged",
    "dumpable=0",
    "no_new_privs=1",
    "seccomp",
)

# Runs the enclave after a prelude of the test's choice, in one process.
LAUNCHER = """
import ctypes, os, resource, struct, sys
from enclave.__main__ import main
{prelude}
sys.exit(main(sys.argv[1:]))
"""
LEAVE_ROOT = f"if os.geteuid() == 0: os.setuid({OTHER_USER.pw_uid})"
# A platform without the call: a filter of the test's own answers `seccomp` with ENOSYS, all else is allowed.
NO_SECCOMP_CALL = """
from enclave import seccomp
number = seccomp._SECCOMP_CALL[seccomp.this_machine()]
code = b"".join(struct.pack("=HBBI", *step) for step in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)))
buffer = ctypes.create_string_buffer(code, len(code))
kernel_program = seccomp._KernelProgram(4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(kernel_program), 0, 0) == 0
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory of the enclave's user; outside pytest's own, which nobody else may enter."""
    directory = Path(tempfile.mkdtemp(prefix="tallystick-enclave-"))
    yield directory
    shutil.rmtree(directory)
    shutil.rmtree(f"{directory}-custodians")


@pytest.fixture(scope="module")
def own_token(home: Path) -> SoftHsmToken:
    """A token with its keys from a real ceremony, given to the enclave's user."""
    token = empty_token(home)
    done = token.hold_ceremony()
    assert done.returncode == 0, done.stderr
    people = token.custodians_home
    for path in (home, *home.rglob("*"), people, *people.rglob("*")):
        os.chown(path, ENCLAVE_UID, ENCLAVE_GID)
    return token


@pytest.fixture
def directory(home: Path, own_token: SoftHsmToken) -> Path:
    """A place for one enclave's socket and log."""
    place = Path(tempfile.mkdtemp(dir=home))
    os.chown(place, ENCLAVE_UID, ENCLAVE_GID)
    return place


@contextmanager
def launched(
    token: SoftHsmToken, directory: Path, prelude: str, **options: str
) -> Iterator[subprocess.Popen[str]]:
    with secret_on_a_descriptor(PIN) as pin_fd:
        serve = token.serve_command(directory, **{"pin_fd": str(pin_fd), **options})
        arguments = serve[serve.index("serve") :]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.replace("{prelude}", prelude), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(pin_fd,),
            env=token.environment,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def status_of(enclave: RunningEnclave) -> Mapping[str, str]:
    text = (Path("/proc") / str(enclave.process.pid) / "status").read_text()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def limits_of(enclave: RunningEnclave) -> Mapping[str, tuple[str, str]]:
    text = (Path("/proc") / str(enclave.process.pid) / "limits").read_text()
    lines = [line for line in text.splitlines() if line.startswith("Max ")]
    return {line[4:26].strip(): (line[26:46].strip(), line[47:67].strip()) for line in lines}


def sign_something(enclave: RunningEnclave) -> bytes:
    with enclave.client() as client:
        return client.bank_message(profile="clearbank.webhook_ack", body=NONCE).signature


def code_of_unknown_payout(enclave: RunningEnclave) -> str:
    with enclave.client() as client, pytest.raises(EnclaveRefused) as refused:
        client.payout(
            payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=body_of(CREDIT_TRANSFER)
        )
    return refused.value.code


def refusal_of(token: SoftHsmToken, directory: Path, prelude: str = "", **options: str) -> str:
    """The one line with which an enclave that was started so refuses to run."""
    with launched(token, directory, prelude, **options) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert len(errors.splitlines()) == 1, errors
    return errors.removesuffix("\n")


@pytest.mark.parametrize("keys", [SOFTWARE, {}], ids=["software", "softhsm"])
def test_it_signs_with_everything_given_up(
    own_token: SoftHsmToken, directory: Path, keys: Mapping[str, str]
) -> None:
    with own_token.serving(directory, **BECOME, **keys) as enclave:
        signatures = [sign_something(enclave) for _ in range(3)]
        assert status_of(enclave)["Seccomp"] == "2"
        assert enclave.terminate() == 0

    assert [len(signature) for signature in signatures] == [256] * 3
    assert not enclave.socket_path.exists()


def test_the_kernel_sees_what_it_reports(own_token: SoftHsmToken, directory: Path) -> None:
    with own_token.serving(directory, **BECOME) as enclave:
        status, limits = status_of(enclave), limits_of(enclave)
        proc_owner = (Path("/proc") / str(enclave.process.pid) / "environ").stat().st_uid
        enclave.terminate()
        told = enclave.errors()

    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # One for the token; and one that waits for the disk, where this user may have so many.
    assert status["Threads"] in {"1", "2"}
    assert status["Umask"] == "0077"
    assert status["CapEff"] == "0" * 16
    assert limits["core file size"] == ("0", "0")
    assert limits["open files"] == (str(DESCRIPTORS_MAX), str(DESCRIPTORS_MAX))
    assert limits["processes"] == (str(THREADS_MAX), str(THREADS_MAX))
    assert limits["file size"] == ("unlimited", "unlimited")
    # What is not dumpable belongs to root in /proc, whoever it runs as.
    assert proc_owner == 0
    # Some platforms refuse to lock memory; then nothing is locked, and it says so.
    locked = status["VmLck"] != "0 kB"
    assert f"enclave: mlockall {'done' if locked else 'NOT DONE'}\n" in told


def test_every_step_is_reported_once_in_order(own_token: SoftHsmToken, directory: Path) -> None:
    with own_token.serving(directory, **BECOME) as enclave:
        enclave.terminate()
        *lines, keys = enclave.errors().splitlines()

    assert keys == f"enclave: {len(Purpose)} keys ready"
    reported = [line.removeprefix("enclave: ").split(" ", 1) for line in lines]
    assert tuple(name for name, _ in reported) == STEPS
    assert {outcome for name, outcome in reported if name != "mlockall"} == {"done"}


def test_it_is_another_user_to_the_kernel_and_to_its_callers(
    own_token: SoftHsmToken, directory: Path
) -> None:
    with own_token.serving(directory, **BECOME) as enclave:
        status = status_of(enclave)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.connect(str(enclave.socket_path))
            credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        owners = {path.stat().st_uid for path in (enclave.socket_path, enclave.log_path)}

    assert status["Uid"].split() == [str(ENCLAVE_UID)] * 4
    assert status["Gid"].split() == [str(ENCLAVE_GID)] * 4
    assert status["Groups"].split() == ([] if IS_ROOT else [str(group) for group in sorted(os.getgroups())])
    assert struct.unpack("iII", credentials) == (enclave.process.pid, ENCLAVE_UID, ENCLAVE_GID)
    assert owners == {ENCLAVE_UID}


def test_it_starts_again_on_its_own_log(own_token: SoftHsmToken, directory: Path) -> None:
    for _ in range(2):
        with own_token.serving(directory, **BECOME) as enclave:
            sign_something(enclave)
            assert enclave.terminate() == 0

    assert len(enclave.log_path.read_text().splitlines()) == 6


def test_production_starts_with_everything_given_up(own_token: SoftHsmToken, directory: Path) -> None:
    with own_token.serving(directory, **BECOME, **PRODUCTION) as enclave:
        assert enclave.ready_line == f"enclave ready on {enclave.socket_path}\n"
        assert len(sign_something(enclave)) == 256


def test_production_does_not_run_as_root(own_token: SoftHsmToken, directory: Path) -> None:
    if IS_ROOT:
        told = refusal_of(own_token, directory, **PRODUCTION)
        assert told == "enclave: production does not run as root: name a user with --user"
    else:
        with own_token.serving(directory, **PRODUCTION) as enclave:
            assert "0" not in status_of(enclave)["Uid"].split()


def test_only_root_becomes_another_user(own_token: SoftHsmToken, directory: Path) -> None:
    told = refusal_of(own_token, directory, LEAVE_ROOT, user=OTHER_USER.pw_name)

    assert told == "enclave: only root can become another user"


@pytest.mark.parametrize(
    ("name", "told"),
    [("root", "root is root by another name"), ("no-such-user", "there is no user no-such-user")],
)
def test_root_becomes_nobody_else_than_an_ordinary_user(
    own_token: SoftHsmToken, directory: Path, name: str, told: str
) -> None:
    expected = told if IS_ROOT else "only root can become another user"

    assert refusal_of(own_token, directory, user=name) == f"enclave: {expected}"


def test_a_log_that_is_not_the_users_is_refused(own_token: SoftHsmToken, directory: Path) -> None:
    log = directory / "signing.log"
    log.touch()
    log.chmod(0)
    if IS_ROOT:
        os.chown(log, 0, 0)

    assert refusal_of(own_token, directory, **BECOME) == "enclave: cannot open the log: Permission denied"


def test_a_socket_directory_that_is_not_the_users_is_refused(
    own_token: SoftHsmToken, directory: Path
) -> None:
    locked = directory / "locked"
    locked.mkdir(mode=0o555)

    told = refusal_of(own_token, directory, **BECOME, socket=str(locked / "enclave.sock"))

    assert told == "enclave: cannot make the socket: Permission denied"


def test_a_platform_without_seccomp_serves_in_development_and_says_so(
    own_token: SoftHsmToken, directory: Path
) -> None:
    with launched(own_token, directory, NO_SECCOMP_CALL, **BECOME) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        enclave = RunningEnclave(process, directory, process.stdout.readline())
        sign_something(enclave)
        enclave.terminate()
        assert "enclave: seccomp NOT DONE\n" in enclave.errors()


def test_a_platform_without_seccomp_is_not_for_production(own_token: SoftHsmToken, directory: Path) -> None:
    with launched(own_token, directory, NO_SECCOMP_CALL, **BECOME, **PRODUCTION) as process:
        output, errors = process.communicate(timeout=60)

    assert (process.returncode, output) == (2, "")
    assert "enclave: seccomp NOT DONE\n" in errors
    assert errors.endswith("enclave: not hardened for production: seccomp NOT DONE\n")
    assert not (directory / "enclave.sock").exists()


def test_what_is_refused_before_a_key_is_touched_keeps_production_from_opening_the_log(
    own_token: SoftHsmToken, directory: Path
) -> None:
    fewer = DESCRIPTORS_MAX - 1
    prelude = f"{LEAVE_ROOT}\nresource.setrlimit(resource.RLIMIT_NOFILE, ({fewer}, {fewer}))"

    told = refusal_of(own_token, directory, prelude, **PRODUCTION)

    assert told == f"enclave: not hardened for production: descriptors={DESCRIPTORS_MAX} NOT DONE"
    assert list(directory.iterdir()) == []


def test_as_many_callers_as_may_be_are_served_within_the_descriptors(
    own_token: SoftHsmToken, directory: Path
) -> None:
    with own_token.serving(directory, **BECOME) as enclave:
        clients = [enclave.client() for _ in range(CALLERS_MAX)]
        try:
            for client in clients:
                client.ping()
            signature = clients[-1].bank_message(profile="clearbank.webhook_ack", body=NONCE).signature
        finally:
            for client in clients:
                client.close()

    assert len(signature) == 256


def test_its_limits_cannot_be_raised_by_another_process_of_its_user(
    own_token: SoftHsmToken, directory: Path
) -> None:
    with own_token.serving(directory, **BECOME) as enclave:
        pid = enclave.process.pid
        done = own_token.python(
            f"import os, resource\n{LEAVE_ROOT}\nresource.prlimit({pid}, resource.RLIMIT_CORE, (1, 1))"
        )

        assert "PermissionError" in done.stderr
        assert limits_of(enclave)["core file size"] == ("0", "0")


def test_it_finds_its_way_back_to_the_database_from_behind_the_filter(
    own_token: SoftHsmToken, directory: Path, database: Database
) -> None:
    with own_token.serving(directory, database_url=database.url("tallystick_enclave")) as enclave:
        assert status_of(enclave)["Seccomp"] == "2"
        before = code_of_unknown_payout(enclave)
        with psycopg.connect(database.url("postgres")) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'tallystick_enclave'"
            ).fetchall()
        after = code_of_unknown_payout(enclave)

    assert ended
    assert (before, after) == ("payout_unknown", "payout_unknown")


def test_production_takes_nothing_less_than_every_step_but_a_locked_memory() -> None:
    locked = HardeningStep(name="mlockall", done=False, may_be_refused=True)
    done = HardeningStep(name="core=0", done=True)

    insist([done, locked])


@pytest.mark.parametrize(
    ("missing", "told"),
    [(["seccomp"], "seccomp NOT DONE"), (["core=0", "seccomp"], "core=0, seccomp NOT DONE")],
)
def test_production_names_what_it_misses(missing: Sequence[str], told: str) -> None:
    steps = [
        HardeningStep(name="umask=077", done=True),
        *(HardeningStep(name=name, done=False) for name in missing),
    ]

    with pytest.raises(HardeningRefused, match=f"{told}$"):
        insist(steps)
