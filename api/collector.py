"""The garbage collector's manners in a process that posts.

A batch makes a hundred thousand small values that all go when it ends, and none of them in circles. With Python's own
thresholds the collector walks through them again and again while callers wait, and each time through everything that
the process has ever imported.
"""

import gc

YOUNG_MAX = 400_000
"""How many more values than are gone before the youngest are looked through: more than a full batch has at once.

Python's own figure is 700.
"""


def calm_collector() -> None:
    """Leaves what has been imported alone for good, and looks through the rest less often. For a process's start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)
