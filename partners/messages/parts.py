"""The children of an XML element by name: looked through once, because looking for each by its path is slow."""

from typing import Final

from lxml import etree

from partners.contract import Unreadable

_NAMES_MAX: Final = 1000  # more than any message has; a document that invents more gains nothing


class Names(dict[str, str]):
    """The local name of every tag in one namespace; a tag of another namespace has none."""

    def __init__(self, namespace: str) -> None:
        super().__init__()
        self._prefix = f"{{{namespace}}}"

    def __missing__(self, tag: str) -> str:
        name = tag.removeprefix(self._prefix) if tag.startswith(self._prefix) else ""
        if len(self) < _NAMES_MAX:
            self[tag] = name
        return name


class Parts:
    """One element, taken apart: of each name the first child, and all of them where many may be."""

    __slots__ = ("_element", "_first", "_names")

    def __init__(self, element: etree._Element | None, names: Names) -> None:
        self._element = element
        self._names = names
        self._first: dict[str, etree._Element] = {}
        if element is not None:
            first = self._first
            for child in element:
                first.setdefault(names[child.tag], child)

    @classmethod
    def of(cls, first: dict[str, etree._Element], names: Names) -> "Parts":
        """The same of children that were taken out of their element already."""
        parts = cls(None, names)
        parts._first = first
        return parts

    def __bool__(self) -> bool:
        return self._element is not None

    def part(self, name: str) -> "Parts":
        """A child, taken apart; nothing has no parts."""
        child = self._first.get(name)
        return NOTHING if child is None else Parts(child, self._names)

    def at(self, *path: str) -> "Parts":
        """A descendant, taken apart."""
        found = self
        for name in path:
            found = found.part(name)
        return found

    def every(self, name: str) -> "list[Parts]":
        """All children of a name, taken apart."""
        return [Parts(child, self._names) for child in self._every(name)]

    def leaf(self, name: str) -> str | None:
        """The text of a child that holds nothing but text; absent and empty are the same."""
        node = self._first.get(name)
        return None if node is None else text_of(node)

    def leaves(self, name: str) -> tuple[str, ...]:
        """The texts of all children of a name."""
        return tuple(text for node in self._every(name) if (text := text_of(node)) is not None)

    def attribute(self, name: str, attribute: str) -> str:
        """An attribute of a child."""
        node = self._first.get(name)
        return "" if node is None else str(node.get(attribute, ""))

    def required(self, name: str) -> str:
        """The text of a child that has to be there. Raises: Unreadable."""
        found = self.leaf(name)
        if found is None:
            raise Unreadable(f"{name} is missing.")
        return found

    def code(self, name: str) -> str | None:
        """A code of ISO's or else of the bank's own, where a child offers the choice."""
        choice = self._first.get(name)
        if choice is None:
            return None
        found = Parts(choice, self._names)
        return found.leaf("Cd") or found.leaf("Prtry")

    def _every(self, name: str) -> list[etree._Element]:
        if self._element is None or name not in self._first:
            return []
        names = self._names
        return [child for child in self._element if names[child.tag] == name]


NOTHING: Final = Parts(None, Names(""))


def text_of(node: etree._Element) -> str | None:
    """The text of an element that holds nothing but text."""
    text = node.text
    if text is None or len(node):
        return None
    return text.strip() or None
