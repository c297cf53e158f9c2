"""Finding the adapter of a bank among the installed packages, and refusing one that cannot be relied on.

What a type checker would say of a package in this repository is asked here of every package, whoever wrote it: are all
methods of the contract there, with its parameters, and does the manifest say what the adapter can do. Loading runs the
adapter's import and its `manifest`, and nothing else of it.
"""

import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Final

from partners.contract import PROTOCOLS, Adapter, Manifest, Operation, faults_in

GROUP: Final = "tallystick.adapters"


class AdapterUnusable(Exception):
    """No bank can be used through this adapter; `faults` says why, a sentence each."""

    def __init__(self, name: str, faults: tuple[str, ...]) -> None:
        super().__init__(f"The adapter {name!r} cannot be used: {'; '.join(faults)}.")
        self.faults = faults


def adapter_names() -> tuple[str, ...]:
    """The adapters that the installed packages bring."""
    return tuple(sorted({found.name for found in entry_points(group=GROUP)}))


def load_adapter(name: str) -> Adapter:
    """The adapter of that name, whichever package brings it. Raises: AdapterUnusable."""
    brought = entry_points(group=GROUP, name=name)
    if len(brought) != 1:
        here = ", ".join(adapter_names()) or "none"
        raise AdapterUnusable(name, (f"{len(brought)} installed packages bring it ({GROUP}: {here})",))
    (found,) = brought
    adapter: Adapter = found.load()()
    faults = faults_of(adapter, name=name)
    if faults:
        raise AdapterUnusable(name, faults)
    return adapter


def faults_of(adapter: object, *, name: str) -> tuple[str, ...]:
    """Everything in which an object falls short of an adapter of this name; none if it is one."""
    missing = tuple(_missing(adapter, Adapter))
    if missing:
        return missing
    manifest = adapter.manifest()  # type: ignore[attr-defined]  # it is there: that was just looked at
    if not isinstance(manifest, Manifest):
        return ("manifest gives something that is no Manifest",)
    named = () if manifest.adapter == name else (f"its manifest calls it {manifest.adapter!r}",)
    return (*named, *faults_in(manifest), *_faults_in_operations(adapter, manifest))


def _faults_in_operations(adapter: object, manifest: Manifest) -> Iterator[str]:
    for operation, protocol in PROTOCOLS.items():
        missing = list(_missing(adapter, protocol))
        if operation in manifest.operations:
            yield from (f"it declares {operation}, but {fault}" for fault in missing)
        elif not missing:
            yield f"it has the methods of {protocol.__name__}, and does not declare {operation}"
    yield from (f"nobody knows the operation {item!r}" for item in manifest.operations - set(Operation))


def _missing(adapter: object, protocol: type) -> Iterator[str]:
    """The methods of a protocol that are not there, or that cannot be called as it says."""
    for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        method = getattr(adapter, name, None)
        if not callable(method):
            yield f"{name} is missing"
        elif not _can_be_called_as(wanted, method):
            yield f"{name} takes other parameters than the contract says"


def _can_be_called_as(wanted: object, method: object) -> bool:
    """Whether a method takes what the contract passes: the same names, in the same places."""
    assert callable(wanted)
    assert callable(method)
    asked = list(inspect.signature(wanted).parameters.values())[1:]  # without self
    given = list(inspect.signature(method).parameters.values())
    return [(one.name, one.kind) for one in asked] == [(one.name, one.kind) for one in given]
