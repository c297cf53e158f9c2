"""A camt.053.001.08 as banks write it, of as many entries as wanted, made piece by piece and never whole."""

from collections.abc import Iterator

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
    "<GrpHdr><MsgId>BENCH-1</MsgId><CreDtTm>2026-11-17T02:00:00Z</CreDtTm></GrpHdr>"
    "<Stmt><Id>BENCH-1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-11-17T02:00:00Z</CreDtTm>"
    "<FrToDt><FrDtTm>2026-11-15T23:00:00Z</FrDtTm><ToDtTm>2026-11-16T23:00:00Z</ToDtTm></FrToDt>"
    "<Acct><Id><IBAN>NL07CLRB0066110345</IBAN></Id><Ccy>EUR</Ccy></Acct>\n"
)
_BALANCE = (
    "<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    '<Amt Ccy="EUR">{amount}.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-16</Dt></Dt></Bal>\n'
)
_ENTRY = (
    '<Ntry><NtryRef>{number}</NtryRef><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    "<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-16</Dt></BookgDt><ValDt><Dt>2026-11-17</Dt></ValDt>"
    "<AcctSvcrRef>{number:032x}</AcctSvcrRef>"
    "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
    "<NtryDtls><TxDtls><Refs><EndToEndId>PO-{number}</EndToEndId>"
    "<UETR>00000000-0000-4000-8000-{number:012}</UETR></Refs>"
    '<Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    "<RltdPties><Dbtr><Pty><Nm>Anna Visser</Nm></Pty></Dbtr>"
    "<DbtrAcct><Id><IBAN>NL73ABNA0529451824</IBAN></Id></DbtrAcct>"
    "<Cdtr><Pty><Nm>Bakery De Gouden Korst</Nm></Pty></Cdtr>"
    "<CdtrAcct><Id><IBAN>DE75512108001245126199</IBAN></Id></CdtrAcct></RltdPties>"
    "<RltdAgts><DbtrAgt><FinInstnId><BICFI>ABNANL2A</BICFI></FinInstnId></DbtrAgt></RltdAgts>"
    "<RmtInf><Ustrd>Sales of 15 November, {number}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n"
)
_TAIL = "</Stmt></BkToCstmrStmt></Document>\n"


def camt_pieces(entries: int) -> Iterator[bytes]:
    """The document, entry by entry; its balances add up."""
    yield _HEAD.encode()
    yield (
        _BALANCE.format(code="OPBD", amount=0) + _BALANCE.format(code="CLBD", amount=10 * entries)
    ).encode()
    for number in range(entries):
        yield _ENTRY.format(number=number).encode()
    yield _TAIL.encode()


class PiecedStream:
    """Pieces of bytes as a stream that never holds more than it is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = bytearray()

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        chunk = bytes(self._left[:size])
        del self._left[:size]
        return chunk
