"""The measurement: each changed input changes exactly the hashes that it belongs to."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from enclave.inventory import DISTRIBUTIONS, own_package, read_code, read_libraries
from enclave.measurement import (
    POLICY_MODULES,
    Configuration,
    Libraries,
    Measurement,
    MeasurementFailed,
    measure,
)
from enclave.policy import Conditions, Limits

CONFIGURATION = Configuration(
    backend="pkcs11",
    module="/usr/lib/softhsm/libsofthsm2.so",
    token_label="tallystick",
    name="enclave",
    user="signer",
    production=True,
    allowed_uids=(1000, 1001),
    custodians=None,
    limits=Limits(per_payment_minor=10, per_hour_minor=20, per_day_minor=30),
    conditions=Conditions(approvals_above_minor=5),
    card_recipients={"acquirer": "ac" * 32},
)
SOURCES = sorted(file.relative_to(own_package()).as_posix() for file in own_package().rglob("*.py"))
LIBRARY = "tallystick-test-library"


def changed(before: Measurement, after: Measurement) -> set[str]:
    """What differs, by the names of the hashes."""
    return {
        name.removesuffix("_sha256") for name, value in asdict(before).items() if asdict(after)[name] != value
    }


def flip_first_byte(file: Path) -> None:
    content = file.read_bytes() or b"#"
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.fixture(scope="module")
def libraries() -> Libraries:
    return read_libraries(None)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the enclave, to be spoilt."""
    copied = tmp_path / "enclave"
    shutil.copytree(own_package(), copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def test_the_same_parts_have_the_same_hashes_wherever_they_lie(package: Path, libraries: Libraries) -> None:
    here = measure(read_code(own_package()), libraries, CONFIGURATION)
    there = measure(read_code(package), read_libraries(None), replace(CONFIGURATION))

    assert here == there
    assert all(len(value) == 64 for value in asdict(here).values())
    assert len(set(asdict(here).values())) == 4


@pytest.mark.parametrize("source", SOURCES)
def test_one_byte_of_a_source_changes_the_code_and_the_policy_if_it_decides(
    package: Path, libraries: Libraries, source: str
) -> None:
    before = measure(read_code(package), libraries, CONFIGURATION)

    flip_first_byte(package / source)

    after = measure(read_code(package), libraries, CONFIGURATION)
    assert changed(before, after) == ({"code", "policy"} if source in POLICY_MODULES else {"code"})


def test_a_source_more_or_under_another_name_changes_the_code(package: Path, libraries: Libraries) -> None:
    before = measure(read_code(package), libraries, CONFIGURATION)

    (package / "backends" / "another.py").touch()
    one_more = measure(read_code(package), libraries, CONFIGURATION)
    (package / "backends" / "another.py").rename(package / "another.py")
    renamed = measure(read_code(package), libraries, CONFIGURATION)

    assert changed(before, one_more) == changed(before, renamed) == changed(one_more, renamed) == {"code"}


def test_what_is_no_source_is_not_measured_as_one(package: Path) -> None:
    before = read_code(package)

    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "policy.cpython-311.pyc").touch()

    assert read_code(package) == before


def test_code_without_a_module_that_decides_is_not_measured(package: Path, libraries: Libraries) -> None:
    (package / "policy.py").unlink()

    with pytest.raises(MeasurementFailed, match=r"policy\.py"):
        measure(read_code(package), libraries, CONFIGURATION)


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIGURATION, backend="software"),
        replace(CONFIGURATION, module="/usr/lib/other.so"),
        replace(CONFIGURATION, module=None),
        replace(CONFIGURATION, token_label="other"),
        replace(CONFIGURATION, name="other"),
        replace(CONFIGURATION, user=None),
        replace(CONFIGURATION, production=False),
        replace(CONFIGURATION, allowed_uids=(1000,)),
        replace(CONFIGURATION, allowed_uids=None),
        replace(CONFIGURATION, card_recipients={}),
        replace(CONFIGURATION, card_recipients={"acquirer": "ad" * 32}),
        replace(CONFIGURATION, card_recipients={"another": "ac" * 32}),
    ],
)
def test_one_option_changes_the_configuration_alone(libraries: Libraries, other: Configuration) -> None:
    code = read_code(own_package())

    differs = changed(measure(code, libraries, CONFIGURATION), measure(code, libraries, other))

    assert differs == {"configuration"}


@pytest.mark.parametrize("limit", ["per_payment_minor", "per_hour_minor", "per_day_minor"])
@pytest.mark.parametrize("value", [11, 0])
def test_a_limit_changes_the_configuration_and_the_policy(
    libraries: Libraries, limit: str, value: int
) -> None:
    code = read_code(own_package())
    other = replace(CONFIGURATION, limits=replace(CONFIGURATION.limits, **{limit: value}))

    differs = changed(measure(code, libraries, CONFIGURATION), measure(code, libraries, other))

    assert differs == {"configuration", "policy"}


def test_the_order_and_number_of_named_users_does_not_matter(libraries: Libraries) -> None:
    code = read_code(own_package())
    other = replace(CONFIGURATION, allowed_uids=(1001, 1000, 1001))

    assert measure(code, libraries, CONFIGURATION) == measure(code, libraries, other)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of libraries with one in it: sources, a native file, and files of a PKCS#11 module and a Python."""
    site = tmp_path / "site"
    papers = site / "tallystick_test_library-1.0.dist-info"
    (site / "spare" / "__pycache__").mkdir(parents=True)
    (site / "spare.libs").mkdir()
    papers.mkdir()
    listed = ("spare/__init__.py", "spare/native.so", "spare.libs/libpq.so", "single.py")
    for name in (*listed, "spare/__pycache__/__init__.cpython-311.pyc"):
        (site / name).write_text(f"content of {name}")
    (papers / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {LIBRARY}\nVersion: 1.0\n")
    (papers / "RECORD").write_text("".join(f"{name},,\n" for name in (*listed, "../../bin/command")))
    (tmp_path / "python").write_text("an interpreter")
    (tmp_path / "module.so").write_text("a module")
    monkeypatch.syspath_prepend(site)
    return site


def with_library(site: Path) -> Measurement:
    found = read_libraries(
        site.parent / "module.so", distributions=(LIBRARY,), interpreter=site.parent / "python"
    )
    return measure(read_code(own_package()), found, CONFIGURATION)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda site: flip_first_byte(site / "spare" / "__init__.py"),
        lambda site: flip_first_byte(site / "spare" / "native.so"),
        lambda site: flip_first_byte(site / "spare.libs" / "libpq.so"),
        lambda site: flip_first_byte(site / "single.py"),
        lambda site: (site / "spare" / "not_installed_with_it.py").touch(),
        lambda site: (site / "spare" / "native.so").unlink(),
        lambda site: (site / "tallystick_test_library-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {LIBRARY}\nVersion: 1.1\n"
        ),
        lambda site: flip_first_byte(site.parent / "python"),
        lambda site: flip_first_byte(site.parent / "module.so"),
    ],
)
def test_one_file_of_a_library_changes_the_libraries_alone(
    site: Path, spoil: Callable[[Path], object]
) -> None:
    before = with_library(site)

    spoil(site)

    assert changed(before, with_library(site)) == {"libraries"}


def test_compiled_copies_and_commands_of_a_library_are_left_out(site: Path) -> None:
    before = with_library(site)

    flip_first_byte(site / "spare" / "__pycache__" / "__init__.cpython-311.pyc")

    assert with_library(site) == before


@pytest.mark.parametrize(
    ("lose", "named"),
    [
        (lambda site: (site.parent / "module.so").unlink(), "module.so"),
        (lambda site: (site.parent / "python").unlink(), "python"),
        (lambda site: (site / "single.py").unlink(), "single.py"),
        (lambda site: shutil.rmtree(site / "tallystick_test_library-1.0.dist-info"), LIBRARY),
        (lambda site: (site / "tallystick_test_library-1.0.dist-info" / "RECORD").unlink(), LIBRARY),
    ],
)
def test_what_is_not_there_cannot_be_measured(site: Path, lose: Callable[[Path], object], named: str) -> None:
    lose(site)

    with pytest.raises(MeasurementFailed, match=named):
        with_library(site)


def test_every_library_that_an_enclave_loads_is_measured() -> None:
    code = """
import json, sys
before = set(sys.modules)
import enclave.__main__, importlib.metadata, psycopg
try:
    psycopg.connect("postgresql://nobody@127.0.0.1:1/nowhere")
except psycopg.OperationalError:
    pass
tops = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {"enclave"}
known = importlib.metadata.packages_distributions()
print(json.dumps(sorted({name for top in tops for name in known.get(top, [])})))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "cryptography" in told
    assert set(json.loads(told)) <= set(DISTRIBUTIONS)


def imports_of(source: str) -> set[str]:
    """The modules of the enclave that one of them imports, by the names of their files."""
    tree = ast.parse((own_package() / source).read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    named = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    named |= {str(node.module) for node in froms}
    files = {f"{name.partition('enclave.')[2].replace('.', '/')}.py" for name in named}
    return files & set(SOURCES)


def test_whatever_the_policy_imports_is_measured_as_policy() -> None:
    found, waiting = set[str](), {"policy.py"}
    while waiting:
        found |= waiting
        waiting = {name for source in waiting for name in imports_of(source)} - found

    assert {"bodies.py", "canonical.py", "facts.py"} < found
    assert found <= set(POLICY_MODULES)
