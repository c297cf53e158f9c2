"""camt.053 statements as ClearBank would print them, page by page, for rehearsals. Pure.

Source: ISO 20022 camt.053.001.11; ClearBank EU camt.053 statements 1.0.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Final

from partners.amounts import decimal_text
from partners.contract import Statement, StatementLine

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.11"


def pages_of(statement: Statement, *, lines_a_page: int) -> tuple[bytes, ...]:
    """The pages of one message; each prints the balances of the whole window."""
    starts = range(0, max(len(statement.lines), 1), lines_a_page)
    shares = [statement.lines[start : start + lines_a_page] for start in starts]
    return tuple(
        _page(statement, share, number=number, is_last=number == len(shares))
        for number, share in enumerate(shares, start=1)
    )


def _page(statement: Statement, lines: Sequence[StatementLine], *, number: int, is_last: bool) -> bytes:
    day = f"{statement.starts_at:%Y%m%d}_{statement.ends_at:%Y%m%d}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{_NAMESPACE}"><BkToCstmrStmt><GrpHdr>'
        f"<MsgId>CAMT053_{day}_rehearse</MsgId><CreDtTm>{_moment(statement.ends_at)}</CreDtTm>"
        f"<MsgPgntn><PgNb>{number}</PgNb><LastPgInd>{str(is_last).lower()}</LastPgInd></MsgPgntn></GrpHdr>"
        f"<Stmt><Id>{escape(statement.statement_id)}</Id><FrToDt><FrDtTm>{_moment(statement.starts_at)}</FrDtTm>"
        f"<ToDtTm>{_moment(statement.ends_at)}</ToDtTm></FrToDt>"
        f"<Acct><Id><IBAN>{statement.iban}</IBAN></Id><Tp><Cd>CACC</Cd></Tp></Acct>"
        f"{_balance('OPBD', statement.opening_minor, statement)}"
        f"{_balance('CLBD', statement.closing_minor, statement)}"
        f"{''.join(map(_entry, lines))}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _balance(code: str, balance_minor: int, statement: Statement) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(balance_minor, statement.currency)}"
        f"<Dt><Dt>{statement.ends_at.date()}</Dt></Dt></Bal>"
    )


def _entry(line: StatementLine) -> str:
    domain, family, kind = line.bank_code.split("/")
    reversal = "<RvslInd>true</RvslInd>" if line.reversal else ""
    return (
        f"<Ntry>{_amount(line.amount_minor, line.currency)}{reversal}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{line.booked_on}</Dt></BookgDt><ValDt><Dt>{line.value_on}</Dt></ValDt>"
        f"<AcctSvcrRef>{line.transaction_id.replace('-', '')}</AcctSvcrRef><BkTxCd><Domn><Cd>{domain}</Cd>"
        f"<Fmly><Cd>{family}</Cd><SubFmlyCd>{kind}</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls><TxDtls>{_detail(line)}</TxDtls></NtryDtls></Ntry>"
    )


def _detail(line: StatementLine) -> str:
    # In a reversal the two sides keep the roles that they had in the entry it takes back.
    party = "Dbtr" if (line.amount_minor > 0) is not line.reversal else "Cdtr"
    return (
        f"<Refs><EndToEndId>{escape(line.end_to_end_id or 'NOTPROVIDED')}</EndToEndId></Refs>"
        f"<RltdPties><{party}><Pty><Nm>{escape(line.counterparty_name or '')}</Nm></Pty></{party}>"
        f"<{party}Acct><Id><IBAN>{line.counterparty_iban or ''}</IBAN></Id></{party}Acct></RltdPties>"
        f"<RmtInf><Ustrd>{escape(line.remittance or '')}</Ustrd></RmtInf>"
    )


def _amount(signed_minor: int, currency: str) -> str:
    side = "DBIT" if signed_minor < 0 else "CRDT"
    return f'<Amt Ccy="{currency}">{decimal_text(abs(signed_minor), currency)}</Amt><CdtDbtInd>{side}</CdtDbtInd>'


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
