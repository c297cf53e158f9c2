"""A clearance is made in one place. This test reads the code and would find a second."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "partners", "compliance", "api")
GATE = "compliance/gate.py"


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def _makes_clearance(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="Clearance") | ast.Attribute(attr="Clearance")):
            return True
        case ast.alias(name="Clearance", asname=str()):  # another name would hide a call
            return True
        case _:
            return False


def _places(source: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(source)) if _makes_clearance(node)]


def test_only_the_gate_makes_clearances() -> None:
    makers = {file.relative_to(ROOT).as_posix() for file in _files() if _places(file.read_text("utf-8"))}

    assert makers == {GATE}


def test_the_gate_makes_them_in_one_place() -> None:
    assert len(_places((ROOT / GATE).read_text("utf-8"))) == 1


def test_a_second_maker_would_be_found() -> None:
    assert _places("made = Clearance(id=1)")
    assert _places("made = clearance.Clearance(id=1)")
    assert _places("from ledger.core.clearance import Clearance as Word")
    assert not _places("from ledger.core.clearance import Clearance\nseen: Clearance | None = None")
