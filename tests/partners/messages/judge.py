"""The official schemas as a judge: sepaxml brings them along; nothing else of it is used, or even imported."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lxml import etree


@cache
def schema(name: str) -> etree.XMLSchema:
    """The official schema of a message, `pain.001.001.09`."""
    spec = find_spec("sepaxml")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return etree.XMLSchema(etree.parse(Path(spec.submodule_search_locations[0]) / "schemas" / f"{name}.xsd"))


def judged(document: bytes, name: str) -> etree._Element:
    """The root of a document that the schema finds no fault with."""
    root = etree.fromstring(document)
    schema(name).assertValid(root)
    return root
