"""Writing camt files as banks do, from the values that reading them has to give back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from iso4217 import Currency

from partners.messages.account_reports import Balance, StatementId
from partners.messages.details import Account, Charge, Detail, GivenReason, Party
from partners.messages.entries import Batch, Entry, EntryStatus
from partners.messages.wire_values import Amount

BODIES = {
    "camt.052": ("BkToCstmrAcctRpt", "Rpt"),
    "camt.053": ("BkToCstmrStmt", "Stmt"),
    "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """One statement to write."""

    id: StatementId
    balances: Sequence[Balance]
    entries: Sequence[Entry]


def write_camt(statements: Iterable[Written], *, name: str = "camt.053", version: int = 8) -> bytes:
    """A whole message."""
    inner = "".join(_statement(each, BODIES[name][1], version) for each in statements)
    return wrap(inner, name=name, version=version)


def wrap(inner: str, *, name: str = "camt.053", version: int = 8) -> bytes:
    """The document around statements that are written already."""
    body = BODIES[name][0]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{name}.001.{version:02}"><{body}>\n'
        "<GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2026-11-17T02:00:00Z</CreDtTm></GrpHdr>\n"
        f"{inner}</{body}></Document>\n"
    ).encode()


def write_entry(entry: Entry, version: int = 8) -> str:
    """One entry."""
    status = "HELD" if entry.status is EntryStatus.OWN else entry.status.value
    own = f"<Prtry>{status}</Prtry>" if entry.status is EntryStatus.OWN else f"<Cd>{status}</Cd>"
    details = "".join(_detail(detail, version) for detail in entry.details)
    return (
        f"<Ntry>{_leaf('NtryRef', entry.entry_reference)}"
        f"{_signed(Amount(entry.amount_minor, entry.currency))}"
        f"{'<RvslInd>true</RvslInd>' if entry.reversal else ''}"
        f"<Sts>{own if version >= 8 or entry.status is EntryStatus.OWN else status}</Sts>"
        f"{_day('BookgDt', entry)}"
        f"{f'<ValDt><Dt>{entry.value_on}</Dt></ValDt>' if entry.value_on else ''}"
        f"{_leaf('AcctSvcrRef', entry.bank_reference)}{_codes(entry.bank_code, entry.own_code)}"
        f"{_charges(entry.charges, version)}"
        f"<NtryDtls>{_batch(entry.batch)}{details}</NtryDtls>"
        f"{_leaf('AddtlNtryInf', entry.additional)}</Ntry>\n"
    )


def decimal(minor: int, currency: str) -> str:
    """An amount as it is printed, without its sign."""
    exponent = Currency(currency).exponent
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


def _statement(written: Written, tag: str, version: int) -> str:
    identity, account = written.id, written.id.account
    owned = _leaf("IBAN", account.iban) or f"<Othr>{_leaf('Id', account.other_id)}</Othr>"
    return (
        f"<{tag}>{_leaf('Id', identity.statement_id)}"
        f"{_leaf('ElctrncSeqNb', identity.electronic_number)}{_leaf('LglSeqNb', identity.legal_number)}"
        f"{_window(identity.starts_at, identity.ends_at)}"
        f"<Acct><Id>{owned}</Id>{_leaf('Ccy', identity.currency)}</Acct>\n"
        f"{''.join(map(_balance, written.balances))}"
        f"{''.join(write_entry(entry, version) for entry in written.entries)}</{tag}>\n"
    )


def _window(starts_at: datetime | None, ends_at: datetime | None) -> str:
    if starts_at is None or ends_at is None:
        return ""
    return f"<FrToDt><FrDtTm>{starts_at.isoformat()}</FrDtTm><ToDtTm>{ends_at.isoformat()}</ToDtTm></FrToDt>"


def _balance(balance: Balance) -> str:
    day = f"<Dt><Dt>{balance.on}</Dt></Dt>" if balance.on else ""
    return (
        f"<Bal><Tp><CdOrPrtry>{_leaf('Cd', balance.code)}</CdOrPrtry></Tp>"
        f"{_signed(Amount(balance.amount_minor, balance.currency))}{day}</Bal>\n"
    )


def _day(name: str, entry: Entry) -> str:
    if entry.booked_at is not None:
        return f"<{name}><DtTm>{entry.booked_at.isoformat()}</DtTm></{name}>"
    return f"<{name}><Dt>{entry.booked_on}</Dt></{name}>" if entry.booked_on else ""


def _batch(batch: Batch | None) -> str:
    if batch is None:
        return ""
    return (
        f"<Btch>{_leaf('MsgId', batch.message_id)}{_leaf('PmtInfId', batch.payment_information_id)}"
        f"{_leaf('NbOfTxs', batch.count)}</Btch>"
    )


def _detail(detail: Detail, version: int) -> str:
    references = "".join(
        (
            _leaf("MsgId", detail.message_id),
            _leaf("AcctSvcrRef", detail.bank_reference),
            _leaf("PmtInfId", detail.payment_information_id),
            _leaf("InstrId", detail.instruction_id),
            _leaf("EndToEndId", detail.end_to_end_id or "NOTPROVIDED"),
            _leaf("UETR", detail.uetr),
            _leaf("TxId", detail.tx_id),
            _leaf("MndtId", detail.mandate_id),
        )
    )
    return (
        f"<TxDtls><Refs>{references}</Refs>{_amounts(detail, version)}"
        f"{_codes(detail.bank_code, detail.own_code)}{_charges(detail.charges, version)}"
        f"{_parties(detail, version)}{_agents(detail, version)}"
        f"{_code('Purp', detail.purpose)}"
        f"{_remittance(detail)}{_returned(detail.returned)}"
        f"{_leaf('AddtlTxInf', detail.additional)}</TxDtls>"
    )


def _amounts(detail: Detail, version: int) -> str:
    rate = ""
    if detail.exchange_rate is not None:
        rate = f"<CcyXchg><XchgRate>{detail.exchange_rate}</XchgRate></CcyXchg>"
    instructed = _unsigned(detail.instructed)
    wrapped = f"<InstdAmt>{instructed}{rate}</InstdAmt>" if instructed else ""
    if detail.amount is None:
        return f"<AmtDtls>{wrapped}</AmtDtls>" if wrapped else ""
    if version > 2:
        return f"{_signed(detail.amount)}{f'<AmtDtls>{wrapped}</AmtDtls>' if wrapped else ''}"
    # Version 02 has the amount elsewhere; the sign is the entry's, unless the bank adds one.
    side = "CRDT" if detail.amount.minor >= 0 else "DBIT"
    return (
        f"<AmtDtls>{wrapped}<TxAmt>{_unsigned(detail.amount)}</TxAmt></AmtDtls><CdtDbtInd>{side}</CdtDbtInd>"
    )


def _parties(detail: Detail, version: int) -> str:
    sides = "".join(
        (
            _party("Dbtr", detail.debtor, version),
            _party("UltmtDbtr", detail.ultimate_debtor, version),
            _party("Cdtr", detail.creditor, version),
            _party("UltmtCdtr", detail.ultimate_creditor, version),
        )
    )
    return f"<RltdPties>{sides}</RltdPties>"


def _party(role: str, party: Party | None, version: int) -> str:
    if party is None:
        return ""
    name = _leaf("Nm", party.name)
    named = f"<{role}>{f'<Pty>{name}</Pty>' if version >= 8 else name}</{role}>" if name else ""
    return named + (_account(role, party.account) if party.account else "")


def _account(role: str, account: Account) -> str:
    owned = _leaf("IBAN", account.iban) or f"<Othr>{_leaf('Id', account.other_id)}</Othr>"
    return f"<{role}Acct><Id>{owned}</Id></{role}Acct>"


def _agents(detail: Detail, version: int) -> str:
    tag = "BICFI" if version >= 3 else "BIC"
    found = "".join(
        f"<{role}Agt><FinInstnId>{_leaf(tag, party.bic)}</FinInstnId></{role}Agt>"
        for role, party in (("Dbtr", detail.debtor), ("Cdtr", detail.creditor))
        if party is not None and party.bic
    )
    return f"<RltdAgts>{found}</RltdAgts>"


def _remittance(detail: Detail) -> str:
    structured = "".join(
        f"<Strd><CdtrRefInf>{_leaf('Ref', text)}</CdtrRefInf></Strd>" for text in detail.references
    ) + "".join(f"<Strd><RfrdDocInf>{_leaf('Nb', text)}</RfrdDocInf></Strd>" for text in detail.documents)
    return f"<RmtInf>{''.join(_leaf('Ustrd', text) for text in detail.remittance)}{structured}</RmtInf>"


def _returned(reason: GivenReason | None) -> str:
    if reason is None:
        return ""
    texts = "".join(_leaf("AddtlInf", text) for text in reason.texts)
    return f"<RtrInf><Rsn>{_leaf('Cd', reason.code)}{_leaf('Prtry', reason.own_code)}</Rsn>{texts}</RtrInf>"


def _charges(charges: tuple[Charge, ...], version: int) -> str:
    records = [_charge(charge) for charge in charges]
    if version > 2 and records:
        return f"<Chrgs>{''.join(f'<Rcrd>{record}</Rcrd>' for record in records)}</Chrgs>"
    return "".join(f"<Chrgs>{record}</Chrgs>" for record in records)


def _charge(charge: Charge) -> str:
    included = {True: "true", False: "false", None: None}[charge.included]
    return f"{_signed(charge.amount)}{_leaf('ChrgInclInd', included)}{_code('Tp', charge.kind)}"


def _codes(bank_code: str, own_code: str | None) -> str:
    domain = ""
    if bank_code:
        code, family, sub = bank_code.split("/")
        domain = f"<Domn><Cd>{code}</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{sub}</SubFmlyCd></Fmly></Domn>"
    own = f"<Prtry>{_leaf('Cd', own_code)}</Prtry>" if own_code else ""
    return f"<BkTxCd>{domain}{own}</BkTxCd>"


def _signed(amount: Amount) -> str:
    side = "DBIT" if amount.minor < 0 else "CRDT"
    return f"{_unsigned(amount)}<CdtDbtInd>{side}</CdtDbtInd>"


def _unsigned(amount: Amount | None) -> str:
    if amount is None:
        return ""
    return f'<Amt Ccy="{amount.currency}">{decimal(amount.minor, amount.currency)}</Amt>'


def _code(name: str, code: str | None) -> str:
    return "" if code is None else f"<{name}>{_leaf('Cd', code)}</{name}>"


def _leaf(name: str, text: str | None) -> str:
    return "" if text is None else f"<{name}>{escape(text)}</{name}>"
