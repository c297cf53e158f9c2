"""The interpreter's manners in a process that posts: when it collects garbage, and for how long a thread has it.

A batch makes a hundred thousand small values that all go when it ends, and none of them in circles. With Python's own
thresholds the collector walks through them again and again while callers wait, and each time through everything that
the process has ever imported. And a thread that decides a batch lets go of the interpreter only when it is asked to:
meanwhile another, whose batch is being written, waits after every answer of the server to send what comes next.
"""

import gc
import sys

YOUNG_MAX = 400_000
"""How many more values than are gone before the youngest are looked through: more than a full batch has at once.

Python's own figure is 700.
"""
TURN_S = 0.0005
"""How long a thread runs when another one waits. Python's own figure is ten times as long."""


def calm_interpreter() -> None:
    """Leaves what has been imported alone for good, looks through the rest less often, and lets threads take turns.

    For a process's start.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)
    sys.setswitchinterval(TURN_S)
