"""Reads what is to be measured: the enclave's source, the interpreter, the libraries, and the PKCS#11 module.

Reads the files on the disk, at the start, from which this process was loaded a moment before. Left out: Python's
standard library and the compiled copies that Python keeps of sources (`__pycache__`), the C libraries of the system
(among them those that the PKCS#11 module loads), and the kernel. Links are followed: what is read is what runs.
Whatever cannot be read ends the start.
"""

import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

import enclave
from enclave.measurement import FileHashes, Libraries, MeasurementFailed, hashes_of

# Everything from outside of Python that an enclave has loaded when it is ready, whichever its options.
DISTRIBUTIONS = (
    "annotated-types",
    "asn1crypto",
    "bcrypt",  # which cryptography loads where it is installed, as it is for SFTP
    "cffi",
    "cryptography",
    "psycopg",
    "psycopg-binary",
    "pydantic",
    "pydantic_core",
    "python-jose",
    "python-pkcs11",
    "typing-inspection",
    "typing_extensions",
)
_COMPILED = "__pycache__"
# The very program that runs, wherever it was found, and although its directory may be closed to who runs it.
RUNNING_INTERPRETER = Path("/proc/self/exe")


def own_package() -> Path:
    """Where the source of this enclave is.

    Raises:
        MeasurementFailed: it was not loaded from a directory.
    """
    if enclave.__file__ is None:
        raise MeasurementFailed("the enclave was not loaded from a directory")
    return Path(enclave.__file__).parent


def read_code(package: Path) -> FileHashes:
    """The sources of a package, by their names inside it.

    Raises:
        MeasurementFailed: one cannot be read.
    """
    return hashes_of(_read(package, sorted(package.rglob("*.py"))))


def read_libraries(
    module: Path | None,
    *,
    distributions: Iterable[str] = DISTRIBUTIONS,
    interpreter: Path = RUNNING_INTERPRETER,
) -> Libraries:
    """The interpreter, the libraries with all their files, and the PKCS#11 module if there is one.

    Raises:
        MeasurementFailed: one is not installed, or a file cannot be read.
    """
    found = [_installed(name) for name in distributions]
    named = [(interpreter, "interpreter")]
    named += [] if module is None else [(module, "module")]
    # A chain, not a list: one file at a time is in memory, and only its hash stays.
    files = chain(*(_files(each) for each in found), *(_read_one(file, name=name) for file, name in named))
    return Libraries(
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        distributions=tuple(f"{each.name} {each.version}" for each in found),
        files=hashes_of(files),
    )


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise MeasurementFailed(f"the library {name} is not installed") from error


def _files(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    """A library's files: all that lies in its directories, whether or not it was installed with it."""
    site = Path(str(installed.locate_file("")))
    for top in _tops(installed):
        yield from _read(site, _inside(site / top))


def _inside(place: Path) -> Sequence[Path]:
    if not place.is_dir():
        return [place]
    return sorted(file for file in place.rglob("*") if not file.is_dir() and _COMPILED not in file.parts)


def _tops(installed: Distribution) -> Sequence[str]:
    """The directories and modules that a library puts beside the others; not its papers, nor commands."""
    listed = {file.parts[0] for file in installed.files or ()}
    tops = sorted(top for top in listed if top not in {"..", _COMPILED} and not top.endswith(".dist-info"))
    if not tops:
        raise MeasurementFailed(f"the library {installed.name} does not say which files it has")
    return tops


def _read_one(file: Path, *, name: str) -> Iterator[tuple[str, bytes]]:
    # Where it lies differs by machine; the module's path is in the configuration.
    return ((name, content) for _, content in _read(file.parent, [file]))


def _read(root: Path, files: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        try:
            yield file.relative_to(root).as_posix(), file.read_bytes()
        except OSError as error:
            raise MeasurementFailed(f"cannot read {file.name}: {error.strerror}") from error
