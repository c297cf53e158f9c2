"""The filter, twice: read by an interpreter of our own for both machines, and obeyed by the kernel under us."""

import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.seccomp import (
    AUDIT_ARCH,
    CALL_NUMBERS,
    NEWEST_CALL,
    X32_BIT,
    Machine,
    Verdict,
    number_of,
    policy,
    program,
    this_machine,
)

PID = 4242
MACHINES = pytest.mark.parametrize("machine", list(Machine))
WORDS = st.integers(min_value=0, max_value=0xFFFFFFFF)

# Families and flags as the manual pages give them, not as the code under test does.
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 1, 2, 10, 16, 17, 38, 40
CLONE_VM, CLONE_THREAD, CLONE_NEWNS, CLONE_NEWUSER = 0x100, 0x10000, 0x20000, 0x10000000
# What glibc's pthread_create asks for, and what its fork asks for.
THREAD_FLAGS, FORK_FLAGS = 0x3D0F00, 0x1200011


@dataclass(frozen=True, slots=True)
class Call:
    """A system call as the kernel shows it to a filter."""

    number: int
    arch: int
    first: int = 0

    def word_at(self, offset: int) -> int:
        data = struct.pack("<IIQ6Q", self.number, self.arch, 0, self.first, 0, 0, 0, 0, 0)
        return int(struct.unpack_from("<I", data, offset)[0])


def verdict_of(code: bytes, call: Call) -> Verdict:
    """Run the filter as the kernel does: one accumulator, jumps that only go forward."""
    instructions = list(struct.iter_unpack("<HBBI", code))
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, value = instructions[at]
        at += 1
        match operation:
            case 0x20:  # load
                accumulator = call.word_at(value)
            case 0x54:  # and
                accumulator &= value
            case 0x15:  # jump if equal
                at += if_true if accumulator == value else if_false
            case 0x35:  # jump if at least
                at += if_true if accumulator >= value else if_false
            case 0x06:  # return
                return Verdict(value)
            case _:
                raise AssertionError(f"no such operation: {operation:#x}")


def judge(machine: Machine, name: str, first: int = 0) -> Verdict:
    number = number_of(name, machine)
    assert number is not None
    return verdict_of(program(machine, process_id=PID), Call(number, AUDIT_ARCH[machine], first))


def calls_with_a_verdict(machine: Machine) -> Iterator[tuple[str, Verdict]]:
    for name, rule in policy(PID).items():
        if isinstance(rule, Verdict) and number_of(name, machine) is not None:
            yield name, rule


def test_every_call_with_a_number_has_a_rule_and_the_other_way_round() -> None:
    assert set(policy(PID)) == set(CALL_NUMBERS)
    for machine in Machine:
        numbers = [number_of(name, machine) for name in CALL_NUMBERS if number_of(name, machine) is not None]
        assert len(numbers) == len(set(numbers))


@MACHINES
def test_each_call_gets_what_the_policy_says(machine: Machine) -> None:
    for name, expected in calls_with_a_verdict(machine):
        assert judge(machine, name) is expected, name


@MACHINES
@given(number=st.integers(min_value=0, max_value=NEWEST_CALL), first=st.integers(0, 2**64 - 1))
def test_calls_without_a_rule_are_allowed(machine: Machine, number: int, first: int) -> None:
    ruled = {number_of(name, machine) for name in CALL_NUMBERS}

    verdict = verdict_of(program(machine, process_id=PID), Call(number, AUDIT_ARCH[machine], first))

    assert (verdict is Verdict.ALLOW) or number in ruled


@MACHINES
@given(number=st.integers(min_value=NEWEST_CALL + 1, max_value=X32_BIT - 1))
def test_calls_newer_than_the_filter_do_not_exist(machine: Machine, number: int) -> None:
    verdict = verdict_of(program(machine, process_id=PID), Call(number, AUDIT_ARCH[machine]))

    assert verdict is Verdict.NO_SUCH_CALL


@MACHINES
@given(number=WORDS, arch=WORDS)
def test_another_architecture_is_killed_whatever_it_calls(machine: Machine, number: int, arch: int) -> None:
    if arch == AUDIT_ARCH[machine]:
        arch ^= 1

    assert verdict_of(program(machine, process_id=PID), Call(number, arch)) is Verdict.KILL


@given(number=st.integers(min_value=X32_BIT, max_value=0xFFFFFFFF))
def test_x32_calls_are_killed(number: int) -> None:
    call = Call(number, AUDIT_ARCH[Machine.X86_64])

    assert verdict_of(program(Machine.X86_64, process_id=PID), call) is Verdict.KILL


@MACHINES
@given(family=WORDS, above=WORDS)
def test_sockets_are_of_three_families_whatever_stands_above_the_integer(
    machine: Machine, family: int, above: int
) -> None:
    expected = Verdict.ALLOW if family in {AF_UNIX, AF_INET, AF_INET6} else Verdict.NO_SUCH_FAMILY

    assert judge(machine, "socket", above << 32 | family) is expected


@MACHINES
@pytest.mark.parametrize("family", [AF_UNIX, AF_INET, AF_INET6])
def test_the_three_families_are_allowed(machine: Machine, family: int) -> None:
    assert judge(machine, "socket", family) is Verdict.ALLOW


@MACHINES
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (THREAD_FLAGS, Verdict.ALLOW),
        (FORK_FLAGS, Verdict.NOT_PERMITTED),
        (CLONE_VM, Verdict.NOT_PERMITTED),
        (THREAD_FLAGS | CLONE_NEWNS, Verdict.NOT_PERMITTED),
        (THREAD_FLAGS | CLONE_NEWUSER, Verdict.NOT_PERMITTED),
        (THREAD_FLAGS & ~CLONE_THREAD, Verdict.NOT_PERMITTED),
        (0, Verdict.NOT_PERMITTED),
    ],
)
def test_clone_makes_threads_and_nothing_else(machine: Machine, flags: int, expected: Verdict) -> None:
    assert judge(machine, "clone", flags) is expected


@MACHINES
@given(process_id=WORDS)
def test_threads_of_this_process_alone_can_be_signalled(machine: Machine, process_id: int) -> None:
    expected = Verdict.ALLOW if process_id == PID else Verdict.NOT_PERMITTED

    assert judge(machine, "tgkill", process_id) is expected
    assert judge(machine, "tgkill", PID) is Verdict.ALLOW


@MACHINES
@pytest.mark.parametrize("option", [4, 8, 28, 35, 47, 0x59616D61])
def test_prctl_takes_nothing_back(machine: Machine, option: int) -> None:
    assert judge(machine, "prctl", option) is Verdict.NOT_PERMITTED
    assert judge(machine, "prctl", 3) is Verdict.ALLOW


# From here on: children of the real kernel. Each installs the filter, then tries one thing.

CHILD = """
import ctypes, errno, os, resource, signal, socket, subprocess, sys, tempfile, threading
from enclave import seccomp
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
libc = ctypes.CDLL(None, use_errno=True)
nothing = ctypes.c_void_p(None)
listening = socket.create_server(("127.0.0.1", 0))
files = os.open("/", os.O_RDONLY)

def tell(result):
    return errno.errorcode[ctypes.get_errno()] if result == -1 else "allowed"

def raw(name, *arguments):
    number = seccomp.number_of(name, seccomp.this_machine())
    return tell(libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments)))

assert libc.prctl(38, 1, 0, 0, 0) == 0
assert seccomp.install()
try:
    outcome = {attempt}
except OSError as error:
    outcome = errno.errorcode[error.errno]
print("allowed" if outcome is None else outcome)
os._exit(0)
"""

KILLED = "killed"
ALLOWED = "allowed"


def outcome_of(attempt: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.replace("{attempt}", attempt)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == -signal.SIGSYS:
        return KILLED
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        ("os.execv('/bin/true', ['true'])", KILLED),
        ("os.execve(files, ['true'], {})", KILLED),
        ("tell(libc.ptrace(0, 0, nothing, nothing))", KILLED),
        ("tell(libc.process_vm_readv(os.getpid(), nothing, 0, nothing, 0, 0))", KILLED),
        ("tell(libc.process_vm_writev(os.getpid(), nothing, 0, nothing, 0, 0))", KILLED),
        ("tell(libc.mount(nothing, nothing, nothing, 0, nothing))", KILLED),
        ("tell(libc.umount2(nothing, 0))", KILLED),
        ("tell(libc.pivot_root(nothing, nothing))", KILLED),
        ("os.chroot('/')", KILLED),
        ("tell(libc.unshare(0))", KILLED),
        ("tell(libc.setns(-1, 0))", KILLED),
        ("tell(libc.swapon(nothing, 0))", KILLED),
        ("tell(libc.swapoff(nothing))", KILLED),
        ("tell(libc.open_by_handle_at(-1, nothing, 0))", KILLED),
        ("raw('bpf', 0, 0, 0)", KILLED),
        ("raw('perf_event_open', 0, 0, 0, 0, 0)", KILLED),
        ("raw('userfaultfd', 0)", KILLED),
        ("raw('init_module', 0, 0, 0)", KILLED),
        ("raw('finit_module', 0, 0, 0)", KILLED),
        ("raw('delete_module', 0, 0)", KILLED),
        ("raw('kexec_load', 0, 0, 0, 0)", KILLED),
        ("raw('kexec_file_load', 0, 0, 0, 0, 0)", KILLED),
        ("raw('pidfd_getfd', 0, 0, 0)", KILLED),
    ],
)
def test_what_only_an_intruder_does_kills_the_process(attempt: str, expected: str) -> None:
    assert outcome_of(attempt) == expected


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        ("os.fork() and None", "EPERM"),
        ("tell(libc.vfork())", "EPERM"),
        ("subprocess.run(['/bin/true']) and None", "EPERM"),
        ("os.posix_spawn('/bin/true', ['true'], {}) and None", "EPERM"),
        ("raw('clone', 17, 0, 0, 0, 0)", "EPERM"),
        ("raw('clone3', 0, 0)", "ENOSYS"),
        ("socket.socket().bind(('127.0.0.1', 0))", "EPERM"),
        ("socket.socket(socket.AF_UNIX).bind('')", "EPERM"),
        ("listening.listen(1)", "EPERM"),
        ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) and None", "EAFNOSUPPORT"),
        ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW) and None", "EAFNOSUPPORT"),
        ("socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) and None", "EAFNOSUPPORT"),
        ("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) and None", "EAFNOSUPPORT"),
        ("os.setuid(os.getuid())", "EPERM"),
        ("os.setgid(os.getgid())", "EPERM"),
        ("os.setreuid(-1, -1)", "EPERM"),
        ("os.setregid(-1, -1)", "EPERM"),
        ("os.setresuid(-1, -1, -1)", "EPERM"),
        ("os.setresgid(-1, -1, -1)", "EPERM"),
        ("os.setgroups([])", "EPERM"),
        ("tell(libc.personality(-1))", "EPERM"),
        ("os.kill(os.getppid(), 0)", "EPERM"),
        ("raw('tgkill', os.getppid(), os.getppid(), 0)", "EPERM"),
        ("os.memfd_create('x') and None", "EPERM"),
        ("raw('keyctl', 0, 0, 0, 0, 0)", "EPERM"),
        ("raw('add_key', 0, 0, 0, 0, 0)", "EPERM"),
        ("raw('request_key', 0, 0, 0, 0)", "EPERM"),
        ("raw('io_uring_setup', 0, 0)", "EPERM"),
        ("raw('io_uring_enter', 0, 0, 0, 0, 0, 0)", "EPERM"),
        ("raw('io_uring_register', 0, 0, 0, 0)", "EPERM"),
        ("raw('settimeofday', 0, 0)", "EPERM"),
        ("tell(libc.munlockall())", "EPERM"),
        ("tell(libc.prctl(4, 1, 0, 0, 0))", "EPERM"),
        ("tell(libc.syscall(1000))", "ENOSYS"),
    ],
)
def test_what_a_library_may_try_is_refused_and_the_process_goes_on(attempt: str, expected: str) -> None:
    assert outcome_of(attempt) == expected


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(listening.getsockname()).close()",
        "socket.create_connection(('localhost', listening.getsockname()[1])).close()",
        "socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).close()",
        "[end.close() for end in socket.socketpair()] and None",
        "[step() for thread in [threading.Thread(target=os.getpid)] for step in (thread.start, thread.join)] and None",
        "tempfile.TemporaryFile().close()",
        "signal.raise_signal(signal.SIGCHLD)",
        "tell(libc.prctl(3, 0, 0, 0, 0))",
    ],
)
def test_what_the_enclave_lives_on_stays(attempt: str) -> None:
    assert outcome_of(attempt) == ALLOWED


def test_it_can_still_abort() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.replace("{attempt}", "os.abort()")],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == -signal.SIGABRT


def test_a_call_by_the_x32_door_is_killed_where_there_is_one() -> None:
    outcome = outcome_of(f"tell(libc.syscall(ctypes.c_long({X32_BIT} | 39)))")

    assert outcome == (KILLED if this_machine() is Machine.X86_64 else "ENOSYS")


def test_threads_that_were_there_before_are_covered_too() -> None:
    code = """
import ctypes, os, socket, threading
from enclave import seccomp
installed, outcome = threading.Event(), []
def try_later():
    assert installed.wait(30)
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    except OSError as error:
        outcome.append(error.errno)
thread = threading.Thread(target=try_later)
thread.start()
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
assert seccomp.install()
installed.set()
thread.join()
print(outcome)
"""

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == f"[{errno.EAFNOSUPPORT}]\n", done.stderr


def test_without_no_new_privs_an_ordinary_user_gets_no_filter_and_is_told() -> None:
    code = "import os\nfrom enclave import seccomp\nif os.geteuid() == 0: os.setuid(65534)\nprint(seccomp.install())"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "False\n", done.stderr


def test_this_machine_is_known() -> None:
    assert this_machine() == os.uname().machine
