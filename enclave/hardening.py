"""What the process gives up before it touches a key: its memory to debuggers, core files, new privileges.

Each step is reported, whether it worked or not, so that an operator sees what protects the keys and what
does not. A seccomp filter is not among them yet.
Follows: prctl(2), getrlimit(2).
"""

import ctypes
import os
import resource
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True)
class HardeningStep:
    """One thing given up, and whether the platform took it."""

    name: str
    done: bool


def harden() -> tuple[HardeningStep, ...]:
    """Give up what a signing process does not need; a step that the platform lacks is reported, not fatal."""
    os.umask(0o077)
    return (
        HardeningStep(name="umask=077", done=True),
        HardeningStep(name="dumpable=0", done=_prctl(_PR_SET_DUMPABLE, 0)),
        HardeningStep(name="no_new_privs=1", done=_prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        HardeningStep(name="core=0", done=_forbid_core_files()),
    )


def _prctl(option: int, value: int) -> bool:
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return False
    return bool(
        prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
    )


def _forbid_core_files() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return True
