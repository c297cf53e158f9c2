"""Small camt.053 documents, written as the bank writes them."""

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.11"
IBAN = "NL07CLRB0066110345"


def document(*statements: str, namespace: str = NAMESPACE, pagination: str = "") -> bytes:
    """A whole document of these statements."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Document xmlns="{namespace}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>CAMT053_20261115_20261116_a1B2c3D4</MsgId>"
        f"<CreDtTm>2026-11-17T02:00:00Z</CreDtTm>{pagination}</GrpHdr>"
        f"{''.join(statements)}</BkToCstmrStmt></Document>"
    ).encode()


def statement(
    *entries: str,
    opening: str = "0.00",
    closing: str = "0.00",
    iban: str = IBAN,
    id_: str = "ST-1",
    ccy: str = "EUR",
) -> str:
    """One statement; a balance with a minus sign is a debit balance."""
    return (
        f"<Stmt><Id>{id_}</Id>"
        "<FrToDt><FrDtTm>2026-11-15T23:00:00Z</FrDtTm><ToDtTm>2026-11-16T23:00:00Z</ToDtTm></FrToDt>"
        f"<Acct><Id><IBAN>{iban}</IBAN></Id><Tp><Cd>CACC</Cd></Tp></Acct>"
        f"{balance('OPBD', opening, ccy)}{balance('CLBD', closing, ccy)}{''.join(entries)}</Stmt>"
    )


def balance(code: str, amount: str, ccy: str = "EUR") -> str:
    """One balance."""
    side = "DBIT" if amount.startswith("-") else "CRDT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{ccy}">{amount.removeprefix("-")}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        "<Dt><Dt>2026-11-16</Dt></Dt></Bal>"
    )


def entry(
    amount: str = "10.00",
    *,
    side: str = "CRDT",
    status: str = "<Cd>BOOK</Cd>",
    ccy: str = "EUR",
    reference: str = "c0ffee00000040008000000000000001",
    reversal: str = "",
    booked: str = "<Dt>2026-11-16</Dt>",
    value: str = "<ValDt><Dt>2026-11-17</Dt></ValDt>",
    details: str = "",
) -> str:
    """One entry."""
    return (
        f'<Ntry><Amt Ccy="{ccy}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{reversal}'
        f"<Sts>{status}</Sts><BookgDt>{booked}</BookgDt>{value}<AcctSvcrRef>{reference}</AcctSvcrRef>"
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def detail(end_to_end_id: str = "PO-1", *, amount: str = "10.00") -> str:
    """One underlying payment of an entry, with both of its sides."""
    return (
        f"<TxDtls><Refs><EndToEndId>{end_to_end_id}</EndToEndId></Refs>"
        f'<Amt Ccy="EUR">{amount}</Amt>'
        "<RltdPties><Dbtr><Pty><Nm>Anna Visser</Nm></Pty></Dbtr>"
        "<DbtrAcct><Id><IBAN>NL73ABNA0529451824</IBAN></Id></DbtrAcct>"
        "<Cdtr><Pty><Nm>Bakery De Gouden Korst</Nm></Pty></Cdtr>"
        "<CdtrAcct><Id><IBAN>DE75512108001245126199</IBAN></Id></CdtrAcct></RltdPties>"
        "<RmtInf><Ustrd>Sales of 15 November</Ustrd></RmtInf></TxDtls>"
    )


def page(number: int, *statements: str, last: str) -> bytes:
    """One page of a message of several."""
    return document(
        *statements, pagination=f"<MsgPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></MsgPgntn>"
    )
