"""The documents against the code: what they name exists, and what has to be in them is."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from api.settings import Settings
from compliance.sca import AnswerCode
from ledger.core import errors
from ledger.core.commands import Refusal

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
DECISION_LINES_MAX = 60
WORDS = """
programme, party, payer, seller, creator, operator, client, scope, book, account, chart, side, wallet, suspense,
payouts in flight, pool, leg, transfer, entry, version, posted, held, available, command, group, hold, capture, release,
reversal, refusal, authority, digest, canonical text, derived id, order, flow, checkout, line, split, step, refund,
deposit, virtual IBAN, payout, sweep, attempt, conclude, event, job, promise, declined, gate, rule, policy, finding,
clearance, redeem, case, sanctions list, authentication, authenticator, challenge, adapter, rehearsal, certification,
host, connection, manifest, rail, instruction, outcome, unknown, enquiry, notice, news, webhook, end-to-end id,
statement, Statement line, match, break, safeguarding, Requirement, resource, shortfall, sandbox bank, enclave,
purpose, ceremony, signing log, measurement, pins, attestation, nonce, log, leaf,
sealing, checkpoint, export, package, journal, replay, lane, ask, Reply, handler, idempotency key, fingerprint, problem,
cursor, business clock, Machine clock, trial balance, effective_at, recorded_at,
custodian, roster, resolution, draft, endorse, register, keyring
"""
# Paths of ours that a document may name in backticks.
OUR_PATH = re.compile(
    r"`((?:api|compliance|docs|enclave|ledger|migrations|partners|requirements|tests)/[A-Za-z0-9_./-]*)`"
)
OUR_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def first_column(markdown: str) -> list[str]:
    """The codes that stand in the first column of the tables, in their order."""
    rows = re.findall(r"^\| ([^|]*) \|", markdown, re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def anchors(markdown: str) -> set[str]:
    """What a heading is called in a link: small letters, hyphens for spaces, no other signs."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_in_the_guide_and_no_other() -> None:
    guide = text_of(DOCS / "guides" / "operations.md")

    listed = {code for code in first_column(guide) if code.startswith("TALLYSTICK_")}

    assert listed >= {f"TALLYSTICK_{field.name.upper()}" for field in fields(Settings)}
    assert listed == set(re.findall(r'"(TALLYSTICK_[A-Z_]+)"', text_of(ROOT / "api" / "settings.py")))


def test_the_refusals_are_listed_in_the_order_in_which_the_book_looks() -> None:
    listed = first_column(text_of(DOCS / "reference" / "refusals.md"))

    assert listed == [refusal.value for refusal in Refusal]


def spoken_codes() -> Iterator[str]:
    """Every code that a caller of the API may be answered, as the source writes them down."""
    yield from (code.value for code in AnswerCode)
    for name in ("InvalidValue", "NotFound", "Conflict", "ClearanceSpent"):
        yield getattr(errors, name).code
    sources = [*(ROOT / "api").rglob("*.py"), *(ROOT / "ledger").rglob("*.py")]
    for call in (node for path in sources for node in ast.walk(ast.parse(text_of(path)))):
        match call:
            case ast.Call(func=ast.Name(id="Problem"), args=[_, ast.Constant(value=str(code)), *_]):
                yield code
            case ast.Call(
                func=ast.Name(id="Declined" | "_unauthorised"), args=[ast.Constant(value=str(code)), *_]
            ):
                yield code


def test_every_problem_code_is_in_the_guide() -> None:
    listed = set(first_column(text_of(DOCS / "guides" / "checkout.md")))

    assert "insufficient_funds" in listed
    assert sorted(set(spoken_codes()) - listed) == []


def test_every_word_is_in_the_glossary_once() -> None:
    defined = re.findall(r"\*\*([^*]+)\*\*", text_of(DOCS / "GLOSSARY.md"))
    wanted = {" ".join(word.split()) for word in WORDS.split(",")}

    assert sorted(wanted - set(defined)) == []
    assert sorted(word for word in set(defined) if defined.count(word) > 1) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_that_is_named_exists(document: Path) -> None:
    named = {path for path in OUR_PATH.findall(text_of(document)) if not (ROOT / path).exists()}

    assert sorted(named) == []


def test_the_architecture_names_files() -> None:
    assert len(OUR_PATH.findall(text_of(DOCS / "ARCHITECTURE.md"))) > 50


def test_every_test_that_is_named_exists() -> None:
    named = OUR_TEST.findall(text_of(DOCS / "INVARIANTS.md"))
    written = {(path, name) for path, _ in named for name in functions_of(ROOT / path)}

    assert len(named) > 12
    assert sorted(set(named) - written) == []


def functions_of(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(text_of(path))) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_internal_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(text_of(document)):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            broken.append(link)

    assert broken == []


def decisions() -> list[Path]:
    return sorted((DOCS / "decisions").glob("*.md"))


@pytest.mark.parametrize("decision", decisions(), ids=name_of)
def test_a_decision_is_short_and_says_what_else_there_was(decision: Path) -> None:
    text = text_of(decision)

    assert len(text.splitlines()) <= DECISION_LINES_MAX
    assert "**Decision.**" in text
    assert "**Consequences.**" in text
    assert "what else was looked at" in text.lower()


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in decisions()]

    assert numbers == list(range(1, len(numbers) + 1))
    assert all(text_of(path).startswith(f"# {path.name[:4]} ") for path in decisions())


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    record = text_of(DOCS / "decisions" / "0009-dependencies.md")

    rows = re.findall(r"^\| ([^|]+) \|", record, re.MULTILINE)
    listed = {name for row in rows for name in row.split(", ")}

    names = {re.match(r"[A-Za-z0-9-]+", each).group() for each in wanted}  # type: ignore[union-attr]  # each begins with its name
    assert sorted(names - listed) == []
    assert sorted(listed - names - {"to run", "to develop"}) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_names_no_setting_that_does_not_exist(document: Path) -> None:
    known = set(re.findall(r'"(TALLYSTICK_[A-Z_]+)"', text_of(ROOT / "api" / "settings.py")))

    assert set(re.findall(r"TALLYSTICK_[A-Z_]+", text_of(document))) <= known
