"""The machine that measures. A figure without its machine says nothing; where the server is another one, say so too."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Machine:
    """What of a machine decides how fast it is. Units: GiB of memory."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _cpu() -> str:
    """The processor's name; the architecture where the system does not tell one."""
    lines = CPUINFO.read_text("utf-8").splitlines() if CPUINFO.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
