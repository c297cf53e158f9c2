"""Statements as camt.053.001.11, one XML document a page, one Stmt for each real account.

Pure: values in, bytes out. A virtual account's postings stand inside its real account's statement; its IBAN
shows as the debtor's or creditor's account. When a statement has several pages, an account's Stmt keeps its
Id on each, and carries the opening and closing balances of the whole window each time.

Source: ISO 20022 BankToCustomerStatementV11; ClearBank EU, "camt.053 elements used".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from lxml import etree

from partners.sandbox.clock import read_stamp
from partners.sandbox.hours import bank_day
from partners.sandbox.money import CURRENCY, to_amount
from partners.sandbox.records import Account, Direction, Posting, PostingKind, Statement

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.11"
SERVICER_NAME = "Sandbox Bank"
_TEXT_MAX = 140
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SETTLEMENT_FAMILIES = {
    ("SEPA", Direction.DEBIT): ("PMNT", "ICDT", "ESCT"),
    ("SEPA", Direction.CREDIT): ("PMNT", "RCDT", "ESCT"),
    ("SEPA-Instant", Direction.DEBIT): ("PMNT", "IRCT", "ESCT"),
    ("SEPA-Instant", Direction.CREDIT): ("PMNT", "RRCT", "ESCT"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """An XML element before it is one."""

    name: str
    content: "Content"
    currency: str | None = None


Content: TypeAlias = "str | Sequence[Node | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSection:
    """One account's share of a page. Units: balances in cents, of the whole window."""

    account: Account
    opening_minor: int
    closing_minor: int
    postings: Sequence[Posting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a statement."""

    statement: Statement
    number: int
    recipient_id: str
    recipient_name: str
    sections: Sequence[AccountSection]


def write_page(page: Page) -> bytes:
    """A page as a complete XML document in UTF-8."""
    statements = [_statement(page, section) for section in page.sections]
    return _to_xml(Node("Document", [Node("BkToCstmrStmt", [_group_header(page), *statements])]))


def _group_header(page: Page) -> Node:
    is_last = page.number == page.statement.total_pages
    return Node(
        "GrpHdr",
        [
            Node("MsgId", page.statement.shown_id),
            Node("CreDtTm", page.statement.made_at),
            Node("MsgRcpt", [Node("Nm", page.recipient_name), _organisation_id(page.recipient_id)]),
            Node(
                "MsgPgntn",
                [Node("PgNb", str(page.number)), Node("LastPgInd", "true" if is_last else "false")],
            ),
        ],
    )


def _organisation_id(identifier: str) -> Node:
    return Node("Id", [Node("OrgId", [Node("Othr", [Node("Id", identifier)])])])


def _statement(page: Page, section: AccountSection) -> Node:
    window = page.statement
    account = section.account
    return Node(
        "Stmt",
        [
            Node("Id", f"{window.shown_day}-{account.iban}"),
            Node("CreDtTm", window.made_at),
            Node("FrToDt", [Node("FrDtTm", window.start_at), Node("ToDtTm", window.end_at)]),
            _account(account),
            _balance("OPBD", section.opening_minor, window.start_at),
            _balance("CLBD", section.closing_minor, window.end_at),
            *(_entry(together) for together in _entries(section.postings)),
        ],
    )


def _account(account: Account) -> Node:
    servicer = Node("FinInstnId", [Node("BICFI", account.bic), Node("Nm", SERVICER_NAME)])
    return Node(
        "Acct",
        [
            _iban(account.iban),
            Node("Tp", [Node("Cd", "CACC")]),
            Node("Ccy", CURRENCY),
            Node("Ownr", [Node("Nm", account.owner)]),
            Node("Svcr", [servicer]),
        ],
    )


def _balance(code: str, minor: int, moment: str) -> Node:
    """A balance; zero counts as a credit."""
    return Node(
        "Bal",
        [
            Node("Tp", [Node("CdOrPrtry", [Node("Cd", code)])]),
            _amount(abs(minor)),
            Node("CdtDbtInd", "CRDT" if minor >= 0 else "DBIT"),
            Node("Dt", [Node("DtTm", moment)]),
        ],
    )


def _entries(postings: Sequence[Posting]) -> Iterator[list[Posting]]:
    """Postings by entry: those of a batch stand together and are one."""
    for _, together in groupby(postings, key=lambda posting: posting.batch_id or posting.id):
        yield list(together)


def _entry(together: Sequence[Posting]) -> Node:
    first = together[0]
    assert first.settled_at is not None
    day = bank_day(read_stamp(first.settled_at)).isoformat()
    total_minor = sum(posting.amount_minor for posting in together)
    return Node(
        "Ntry",
        [
            _amount(total_minor),
            Node("CdtDbtInd", _indicator(first)),
            Node("Sts", [Node("Cd", "BOOK")]),
            Node("BookgDt", [Node("Dt", day)]),
            Node("ValDt", [Node("Dt", day)]),
            Node("AcctSvcrRef", first.batch_id or first.id),
            _code(first),
            Node("NtryDtls", [_batch(together, total_minor), *(_details(one) for one in together)]),
        ],
    )


def _batch(together: Sequence[Posting], total_minor: int) -> Node | None:
    first = together[0]
    if first.batch_id is None:
        return None
    return Node(
        "Btch",
        [
            Node("MsgId", first.batch_id.replace("-", "")),
            Node("NbOfTxs", str(len(together))),
            Node("TtlAmt", f"{to_amount(total_minor):f}", currency=CURRENCY),
            Node("CdtDbtInd", _indicator(first)),
        ],
    )


def _details(posting: Posting) -> Node:
    returned = posting.return_reason
    references = Node(
        "Refs",
        [
            Node("AcctSvcrRef", posting.id),
            Node("InstrId", posting.end_to_end_id),
            Node("EndToEndId", posting.end_to_end_id),
        ],
    )
    return Node(
        "TxDtls",
        [
            references,
            _amount(posting.amount_minor),
            Node("CdtDbtInd", _indicator(posting)),
            _parties(posting),
            _agents(posting),
            _remittance(posting),
            None if returned is None else Node("RtrInf", [Node("Rsn", [Node("Cd", returned)])]),
        ],
    )


def _remittance(posting: Posting) -> Node:
    """The free text, the structured reference, or both."""
    structured = posting.creditor_reference
    free = None if posting.reference == structured else Node("Ustrd", posting.reference[:_TEXT_MAX])
    if structured is None:
        return Node("RmtInf", [free])
    kind = Node("Tp", [Node("CdOrPrtry", [Node("Cd", "SCOR")])])
    return Node("RmtInf", [free, Node("Strd", [Node("CdtrRefInf", [kind, Node("Ref", structured)])])])


def _parties(posting: Posting) -> Node | None:
    if posting.other_iban is None:
        return None
    own = (posting.own_name, posting.own_iban)
    other = (posting.other_name or "", posting.other_iban)
    is_credit = posting.direction is Direction.CREDIT
    debtor, creditor = (other, own) if is_credit else (own, other)
    return Node(
        "RltdPties",
        [
            _party("Dbtr", debtor[0]),
            Node("DbtrAcct", [_iban(debtor[1])]),
            _party("Cdtr", creditor[0]),
            Node("CdtrAcct", [_iban(creditor[1])]),
        ],
    )


def _agents(posting: Posting) -> Node | None:
    if posting.other_bic is None:
        return None
    role = "DbtrAgt" if posting.direction is Direction.CREDIT else "CdtrAgt"
    return Node("RltdAgts", [Node(role, [Node("FinInstnId", [Node("BICFI", posting.other_bic)])])])


def _code(posting: Posting) -> Node:
    domain, family, sub_family = _bank_code(posting)
    return Node(
        "BkTxCd",
        [
            Node(
                "Domn",
                [Node("Cd", domain), Node("Fmly", [Node("Cd", family), Node("SubFmlyCd", sub_family)])],
            )
        ],
    )


def _bank_code(posting: Posting) -> tuple[str, str, str]:
    """The ISO bank transaction code: domain, family, sub-family."""
    match posting.kind:
        case PostingKind.FEE:
            return ("ACMT", "MDOP", "CHRG")
        case PostingKind.RETURN:
            return ("PMNT", "ICDT" if posting.direction is Direction.CREDIT else "RCDT", "RRTN")
        case PostingKind.TRANSFER:
            return _SETTLEMENT_FAMILIES[posting.channel, posting.direction]


def _party(role: str, name: str) -> Node:
    return Node(role, [Node("Pty", [Node("Nm", name)])])


def _iban(iban: str) -> Node:
    return Node("Id", [Node("IBAN", iban)])


def _indicator(posting: Posting) -> str:
    return "CRDT" if posting.direction is Direction.CREDIT else "DBIT"


def _amount(minor: int) -> Node:
    return Node("Amt", f"{to_amount(minor):f}", currency=CURRENCY)


def _to_xml(root: Node) -> bytes:
    top = etree.Element(_qualified(root), nsmap={None: NAMESPACE})  # type: ignore[dict-item] # the stubs forget the default namespace
    waiting = [(top, root)]
    while waiting:
        element, node = waiting.pop()
        if node.currency is not None:
            element.set("Ccy", node.currency)
        if isinstance(node.content, str):
            element.text = _NOT_XML.sub("?", node.content)
            continue
        children = [child for child in node.content if child is not None]
        waiting.extend((etree.SubElement(element, _qualified(child)), child) for child in children)
    return bytes(etree.tostring(top, xml_declaration=True, encoding="UTF-8"))


def _qualified(node: Node) -> str:
    return f"{{{NAMESPACE}}}{node.name}"
