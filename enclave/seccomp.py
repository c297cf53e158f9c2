"""The system calls that a signing process will not make again: a filter in the kernel, written as classic BPF.

Goes in last, when token, log, socket and database are open, and can never be taken out. A list of what is
forbidden, not of what is allowed: a vendor's PKCS#11 module brings threads, network and files of its own, and
a list that fits one of them would stop another. To make up for that, calls that the kernel learnt after this
file was written do not exist here.

How a call is turned away says what we think of its caller:
- KILL: nothing that works for us makes it, so whoever does has taken the process over. Fails closed.
- NOT_PERMITTED (EPERM): a library may try it and go on without: a helper program, a source port, a keyring.
- NO_SUCH_CALL (ENOSYS): the C library then takes the older call, whose arguments a filter can see.
- NO_SUCH_FAMILY (EAFNOSUPPORT): what a kernel without that kind of socket answers; resolvers know it.

Connecting stays, because the enclave reconnects to its database and some HSMs live on the network. Threads
stay, because some vendors' modules start them; processes do not.
Follows: seccomp(2), bpf(4), clone(2); the numbers are those of the kernel's unistd.h.
"""

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Verdict(IntEnum):
    """What the kernel does with a call; the values are what a filter returns."""

    ALLOW = 0x7FFF0000
    KILL = 0x80000000
    NOT_PERMITTED = 0x00050000 | errno.EPERM
    NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
    NO_SUCH_FAMILY = 0x00050000 | errno.EAFNOSUPPORT


class Machine(StrEnum):
    """The machines whose calls we know, as uname(2) spells them."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


@dataclass(frozen=True, slots=True)
class FirstArgument:
    """A verdict that hangs on the low 32 bits of a call's first argument, which is all the kernel reads of it."""

    listed: tuple[int, ...]
    if_listed: Verdict
    otherwise: Verdict
    mask: int = 0xFFFFFFFF


# From include/uapi/linux/audit.h: how the kernel tells a filter which table a call's number belongs to.
AUDIT_ARCH: Mapping[Machine, int] = {Machine.X86_64: 0xC000003E, Machine.AARCH64: 0xC00000B7}
# Calls of the x32 kind come in under the x86_64 mark with this bit set: a second door to the same rooms.
X32_BIT = 0x40000000
# open_tree_attr, of Linux 6.15. Both machines number their new calls alike.
NEWEST_CALL = 467

# Each call's number on x86_64 and on aarch64; None where the machine has no such call.
CALL_NUMBERS: Mapping[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bind": (49, 200),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "execve": (59, 221),
    "execveat": (322, 281),
    "finit_module": (313, 273),
    "fork": (57, None),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "listen": (50, 201),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "munlockall": (152, 231),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setfsgid": (123, 152),
    "setfsuid": (122, 151),
    "setgid": (106, 144),
    "setgroups": (116, 159),
    "setns": (308, 268),
    "setregid": (114, 143),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setreuid": (113, 145),
    "settimeofday": (164, 170),
    "setuid": (105, 146),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, None),
}

# Another program in this one's place, another process's memory or descriptors, another kernel, another root.
_KILLED = (
    *("execve", "execveat"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd"),
    *("bpf", "perf_event_open", "userfaultfd"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("mount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "open_by_handle_at"),
    *("chroot", "pivot_root", "setns", "unshare", "swapon", "swapoff", "acct", "iopl", "ioperm"),
)
_NOT_PERMITTED = (
    # Helper programs, servers of their own, and the signals that go with them.
    *("fork", "vfork", "bind", "listen"),
    *("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal", "kcmp"),
    # Other users and other rights: some programs set even what they already have.
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid"),
    *("setgroups", "capset", "personality", "modify_ldt"),
    # Kerberos looks for keyrings, libffi for anonymous files, event loops for io_uring.
    *("keyctl", "add_key", "request_key", "memfd_create", "memfd_secret"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    # Limits by hour and day stand on the clock, and secrets in memory on its lock.
    *("clock_settime", "clock_adjtime", "settimeofday", "adjtimex", "munlockall"),
)

# From include/uapi/linux/sched.h: a thread, in no namespace but its parent's.
CLONE_THREAD = 0x00010000
CLONE_NAMESPACES = 0x7E020080
# From include/uapi/linux/prctl.h: DUMPABLE, KEEPCAPS, SECUREBITS, MM, CAP_AMBIENT and PTRACER would each
# take back something that was given up.
PRCTL_REFUSED = (4, 8, 28, 35, 47, 0x59616D61)


def policy(process_id: int) -> Mapping[str, Verdict | FirstArgument]:
    """What becomes of each call that is not simply allowed, in the process of that number."""
    allowed, refused = Verdict.ALLOW, Verdict.NOT_PERMITTED
    unsupported = Verdict.NO_SUCH_FAMILY
    families = (int(socket.AF_UNIX), int(socket.AF_INET), int(socket.AF_INET6))
    return {
        **dict.fromkeys(_KILLED, Verdict.KILL),
        **dict.fromkeys(_NOT_PERMITTED, refused),
        "clone3": Verdict.NO_SUCH_CALL,
        "clone": FirstArgument((CLONE_THREAD,), allowed, refused, mask=CLONE_THREAD | CLONE_NAMESPACES),
        "socket": FirstArgument(families, allowed, unsupported),
        "socketpair": FirstArgument((int(socket.AF_UNIX),), allowed, unsupported),
        # abort(3) signals its own thread.
        "tgkill": FirstArgument((process_id,), allowed, refused),
        "prctl": FirstArgument(PRCTL_REFUSED, refused, allowed),
    }


def number_of(call: str, machine: Machine) -> int | None:
    """The call's number on that machine, if it has the call."""
    x86_64, aarch64 = CALL_NUMBERS[call]
    return x86_64 if machine is Machine.X86_64 else aarch64


def this_machine() -> Machine | None:
    """The machine under this process, if we know its calls: 64-bit Linux on one of two processors."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        return Machine(os.uname().machine)
    except ValueError:
        return None


def program(machine: Machine, *, process_id: int) -> bytes:
    """The filter for one process on one machine, as the kernel takes it: instructions of eight bytes."""
    instructions = [
        _load(_ARCH_OFFSET),
        *_unless_equal(AUDIT_ARCH[machine], [_return(Verdict.KILL)]),
        _load(_NUMBER_OFFSET),
    ]
    if machine is Machine.X86_64:
        instructions += _if_at_least(X32_BIT, [_return(Verdict.KILL)])
    instructions += _if_at_least(NEWEST_CALL + 1, [_return(Verdict.NO_SUCH_CALL)])
    for call, rule in policy(process_id).items():
        number = number_of(call, machine)
        if number is not None:
            instructions += _if_equal(number, _decide(rule))
    return b"".join([*instructions, _return(Verdict.ALLOW)])


def install() -> bool:
    """Put the filter over every thread of this process, for good; answer whether the kernel took it.

    `no_new_privs` must be set before. Denied calls go to the kernel's audit log as well. The `seccomp` call
    is used rather than `prctl` because only it reaches the threads that a PKCS#11 module already started.
    Linux before 4.14 can neither log them nor kill a whole process, and takes no filter from us.
    """
    machine = this_machine()
    if machine is None:
        return False
    code = program(machine, process_id=os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    kernel_program = _KernelProgram(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    return _seccomp(machine, kernel_program) == 0


class _KernelProgram(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _seccomp(machine: Machine, kernel_program: _KernelProgram) -> int:
    try:
        syscall = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return -1
    syscall.restype = ctypes.c_long
    # Anything but 0 is a failure: above it is the number of a thread that could not be covered.
    return int(
        syscall(
            ctypes.c_long(_SECCOMP_CALL[machine]),
            ctypes.c_ulong(_SET_MODE_FILTER),
            ctypes.c_ulong(_FLAG_ALL_THREADS | _FLAG_LOG),
            ctypes.byref(kernel_program),
        )
    )


# The call that installs a filter, and what include/uapi/linux/seccomp.h has it told.
_SECCOMP_CALL: Mapping[Machine, int] = {Machine.X86_64: 317, Machine.AARCH64: 277}
_SET_MODE_FILTER = 1
_FLAG_ALL_THREADS = 1
_FLAG_LOG = 2
# Where `struct seccomp_data` keeps what a filter may look at. Both machines are little-endian, so that the
# low half of the first argument, which is 64 bits wide, comes first.
_NUMBER_OFFSET = 0
_ARCH_OFFSET = 4
_FIRST_ARGUMENT_OFFSET = 16

# From include/uapi/linux/bpf_common.h. An instruction: what to do, two relative jumps, a value.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD = 0x20
_AND = 0x54
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_AT_LEAST = 0x35
_RETURN = 0x06


def _load(offset: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD_WORD, 0, 0, offset)


def _return(verdict: Verdict) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, verdict)


def _if_equal(value: int, then: Sequence[bytes]) -> list[bytes]:
    return [_INSTRUCTION.pack(_JUMP_IF_EQUAL, 0, len(then), value), *then]


def _unless_equal(value: int, then: Sequence[bytes]) -> list[bytes]:
    return [_INSTRUCTION.pack(_JUMP_IF_EQUAL, len(then), 0, value), *then]


def _if_at_least(value: int, then: Sequence[bytes]) -> list[bytes]:
    return [_INSTRUCTION.pack(_JUMP_IF_AT_LEAST, 0, len(then), value), *then]


def _decide(rule: Verdict | FirstArgument) -> list[bytes]:
    """Instructions that always return, so that what they loaded troubles nobody after them."""
    if isinstance(rule, Verdict):
        return [_return(rule)]
    instructions = [_load(_FIRST_ARGUMENT_OFFSET), _INSTRUCTION.pack(_AND, 0, 0, rule.mask)]
    for value in rule.listed:
        instructions += _if_equal(value, [_return(rule.if_listed)])
    return [*instructions, _return(rule.otherwise)]
