"""What the process gives up before it touches a key: root, debuggers, core files, processes, system calls.

In two parts. `harden` comes first of all, so that neither a vendor's PKCS#11 module nor a line of the log is
ever read as root; whatever the enclave then opens belongs to the user whom it became, as it will at the next
start. `confine` comes when everything is open, before the first request. Each step is reported, whether it
worked or not, so that an operator sees what protects the keys; `insist` is for those who take no less.
Follows: setuid(2), prctl(2), getrlimit(2), mlockall(2).
"""

import ctypes
import os
import pwd
import resource
from collections.abc import Iterable
from dataclasses import dataclass

from enclave import seccomp
from enclave.server import CALLERS_MAX

# The callers' connections, and as many again for the token's files, the log, the database and ourselves.
DESCRIPTORS_MAX = 2 * CALLERS_MAX
# Room for the threads of a vendor's PKCS#11 module. Counted per user, and root is not counted at all.
THREADS_MAX = 16

_ROOT = 0
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_MCL_CURRENT = 1
_MCL_FUTURE = 2
_MCL_ONFAULT = 4


class HardeningRefused(Exception):
    """The process is not, or cannot be made, as it was asked to be."""


@dataclass(frozen=True, slots=True)
class HardeningStep:
    """One thing given up, and whether the platform took it; some platforms are known to refuse some steps."""

    name: str
    done: bool
    may_be_refused: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """The user to become."""

    name: str
    uid: int
    gid: int


def find_account(name: str) -> Account:
    """The user of that name.

    Raises:
        HardeningRefused: we are not root and cannot become anybody, there is no such user, or it is root again.
    """
    if os.geteuid() != _ROOT:
        raise HardeningRefused("only root can become another user")
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise HardeningRefused(f"there is no user {name}") from error
    if _ROOT in {entry.pw_uid, entry.pw_gid}:
        raise HardeningRefused(f"{name} is root by another name")
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def harden(account: Account | None = None) -> tuple[HardeningStep, ...]:
    """Give up what a signing process does not need, before it opens anything.

    A step that the platform lacks is reported, not fatal; but a user that was asked for must be had.

    Raises:
        HardeningRefused: the process could not become that user, or could turn back.
    """
    os.umask(0o077)
    # Root may raise limits and lock memory; so these come before root is given up.
    limited = _limit_resources()
    if account is not None:
        _become(account)
    return (
        HardeningStep(name="umask=077", done=True),
        *limited,
        HardeningStep(name="unprivileged", done=_ROOT not in os.getresuid()),
        # Becoming another user may make a process dumpable again; so this comes after.
        HardeningStep(name="dumpable=0", done=_forbid_debuggers()),
        HardeningStep(name="no_new_privs=1", done=_prctl(_PR_SET_NO_NEW_PRIVS, 1) == 0),
    )


def confine() -> tuple[HardeningStep, ...]:
    """Give up, for good, the system calls that an enclave with everything open makes no more."""
    return (HardeningStep(name="seccomp", done=seccomp.install()),)


def insist(steps: Iterable[HardeningStep]) -> None:
    """Accept no step that was not done, but for those that platforms are known to refuse.

    Raises:
        HardeningRefused: naming the steps.
    """
    missing = [step.name for step in steps if not step.done and not step.may_be_refused]
    if missing:
        raise HardeningRefused(f"not hardened for production: {', '.join(missing)} NOT DONE")


def _limit_resources() -> tuple[HardeningStep, ...]:
    unlimited = resource.RLIM_INFINITY
    return (
        HardeningStep(name="core=0", done=_limit(resource.RLIMIT_CORE, 0)),
        HardeningStep(
            name=f"descriptors={DESCRIPTORS_MAX}", done=_limit(resource.RLIMIT_NOFILE, DESCRIPTORS_MAX)
        ),
        HardeningStep(name=f"threads={THREADS_MAX}", done=_limit_threads()),
        # The log grows, and a signature that cannot be logged is not given.
        HardeningStep(name="file_size=unlimited", done=_limit(resource.RLIMIT_FSIZE, unlimited)),
        # Containers and ordinary users are often not allowed to.
        HardeningStep(name="mlockall", done=_lock_memory(), may_be_refused=True),
    )


def _limit(kind: int, value: int) -> bool:
    """Set both the limit and how far it may be raised again."""
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        return False
    return True


def _limit_threads() -> bool:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    # A limit that is lower already does as well, and only root could raise it.
    return _limit(
        resource.RLIMIT_NPROC, THREADS_MAX if hard == resource.RLIM_INFINITY else min(hard, THREADS_MAX)
    )


def _lock_memory() -> bool:
    """Keep what is in memory, and will be, out of swap.

    Only where locked memory is not limited: with a limit, an allocation past it would fail in the middle of
    a request. Pages are locked as they are first touched, so that untouched stacks and libraries cost nothing.
    """
    if not _limit(resource.RLIMIT_MEMLOCK, resource.RLIM_INFINITY):
        return False
    try:
        mlockall = ctypes.CDLL(None).mlockall
    except (OSError, AttributeError):
        return False
    return bool(mlockall(ctypes.c_int(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)) == 0)


def _become(account: Account) -> None:
    try:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise HardeningRefused(f"cannot become {account.name}: {error.strerror}") from error
    if os.getgroups() or not _is_for_good(account):
        raise HardeningRefused(f"becoming {account.name} left a way back")


def _is_for_good(account: Account) -> bool:
    if set(os.getresuid()) != {account.uid} or set(os.getresgid()) != {account.gid}:
        return False
    try:
        os.setuid(_ROOT)
    except PermissionError:
        return True
    return False


def _forbid_debuggers() -> bool:
    return _prctl(_PR_SET_DUMPABLE, 0) == 0 and _prctl(_PR_GET_DUMPABLE, 0) == 0


def _prctl(option: int, value: int) -> int:
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return -1
    zero = ctypes.c_ulong(0)
    return int(prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))
