"""Finding the rehearsal of an adapter among the installed packages."""

import inspect
from importlib.metadata import entry_points
from typing import Final

from partners.contract import Rehearsal

GROUP: Final = "tallystick.rehearsals"


class RehearsalMissing(Exception):
    """Nobody can play this adapter's bank, so nothing is known of the adapter."""


def load_rehearsal(name: str) -> Rehearsal:
    """The rehearsal of that name. Raises: RehearsalMissing unless one package brings one that is whole."""
    brought = entry_points(group=GROUP, name=name)
    if len(brought) != 1:
        raise RehearsalMissing(f"{len(brought)} installed packages bring a rehearsal of {name!r} ({GROUP}).")
    (found,) = brought
    rehearsal: Rehearsal = found.load()()
    wanted = [each for each, _ in inspect.getmembers(Rehearsal, inspect.isfunction) if each[0] != "_"]
    missing = [each for each in wanted if not callable(getattr(rehearsal, each, None))]
    if missing:
        raise RehearsalMissing(f"The rehearsal of {name!r} lacks {', '.join(missing)}.")
    return rehearsal
