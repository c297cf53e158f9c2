"""One `TxDtls` of a camt message as a value. Version 02 puts some of it elsewhere than those that came after."""

from collections.abc import Iterator
from typing import Final

from partners.contract import Unreadable
from partners.messages.details import Account, Charge, Detail, GivenReason, Party
from partners.messages.parts import Parts
from partners.messages.wire_values import Amount, read_minor

NOT_PROVIDED: Final = "NOTPROVIDED"  # the scheme's own word for "none was given"


def read_detail(tx: Parts, *, sign: int) -> Detail:
    """One payment of an entry whose sign is given. Raises: Unreadable."""
    references, parties = tx.part("Refs"), tx.part("RltdPties")
    agents, remittance = tx.part("RltdAgts"), tx.part("RmtInf")
    amounts, codes = tx.part("AmtDtls"), tx.part("BkTxCd")
    instructed, returned = amounts.part("InstdAmt"), tx.part("RtrInf")
    end_to_end_id = references.leaf("EndToEndId")
    structured = remittance.every("Strd")
    return Detail(
        message_id=references.leaf("MsgId"),
        payment_information_id=references.leaf("PmtInfId"),
        instruction_id=references.leaf("InstrId"),
        end_to_end_id=None if end_to_end_id == NOT_PROVIDED else end_to_end_id,
        tx_id=references.leaf("TxId"),
        uetr=references.leaf("UETR"),
        mandate_id=references.leaf("MndtId"),
        bank_reference=references.leaf("AcctSvcrRef"),
        amount=_amount(tx, amounts, sign=sign),
        instructed=read_amount(instructed) if instructed else None,
        exchange_rate=(instructed.part("CcyXchg") or amounts.at("TxAmt", "CcyXchg")).leaf("XchgRate"),
        charges=read_charges(tx),
        bank_code=bank_code(codes),
        own_code=codes.part("Prtry").leaf("Cd"),
        debtor=read_party(parties, "Dbtr", agents),
        ultimate_debtor=read_party(parties, "UltmtDbtr", None),
        creditor=read_party(parties, "Cdtr", agents),
        ultimate_creditor=read_party(parties, "UltmtCdtr", None),
        purpose=tx.code("Purp"),
        remittance=remittance.leaves("Ustrd"),
        references=tuple(_references(structured)),
        documents=tuple(_documents(structured)),
        returned=read_reason(returned) if returned else None,
        additional=tx.leaf("AddtlTxInf"),
    )


def bank_code(codes: Parts) -> str:
    """The code of a kind of entry, e.g. PMNT/RCDT/ESCT; empty when the bank gives only one of its own."""
    domain = codes.part("Domn")
    family = domain.part("Fmly")
    steps = (domain.leaf("Cd"), family.leaf("Cd"), family.leaf("SubFmlyCd"))
    return "/".join(step for step in steps if step)


def read_amount(parts: Parts) -> Amount:
    """The amount in an element, without a sign. Raises: Unreadable."""
    currency = parts.attribute("Amt", "Ccy")
    return Amount(read_minor(parts.leaf("Amt"), currency), currency)


def read_sign(parts: Parts) -> int:
    """Which way an amount goes: 1 is a credit to the account, -1 a debit. Raises: Unreadable."""
    match parts.leaf("CdtDbtInd"):
        case "CRDT":
            return 1
        case "DBIT":
            return -1
        case _:
            raise Unreadable("CdtDbtInd is neither CRDT nor DBIT.")


def read_flag(parts: Parts, name: str) -> bool | None:
    """A printed yes or no. Raises: Unreadable for anything else."""
    match parts.leaf(name):
        case None:
            return None
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise Unreadable(f"{name} is neither true nor false.")


def read_charges(parts: Parts) -> tuple[Charge, ...]:
    """The fees in an element: records of one list, or, in version 02, one list each. Raises: Unreadable."""
    found = parts.every("Chrgs")
    records = [record for charges in found for record in (charges.every("Rcrd") or [charges])]
    return tuple(_charge(record) for record in records if record.attribute("Amt", "Ccy"))


def read_account(identity: Parts) -> Account | None:
    """The account that an `Id` names."""
    iban, other = identity.leaf("IBAN"), identity.part("Othr").leaf("Id")
    return Account(iban, other) if iban or other else None


def read_party(parties: Parts, role: str, agents: Parts | None) -> Party | None:
    """The party in a role, with its account and its bank, if the bank names any of them."""
    party = parties.part(role)
    account = parties.part(f"{role}Acct").part("Id")
    agent = agents.part(f"{role}Agt").part("FinInstnId") if agents else None
    bic = (agent.leaf("BICFI") or agent.leaf("BIC")) if agent else None
    name = party.part("Pty").leaf("Nm") or party.leaf("Nm")
    found = Party(name, read_account(account) if account else None, bic)
    return found if name or found.account or bic else None


def read_reason(given: Parts) -> GivenReason:
    """A reason for a return or a status."""
    reason = given.part("Rsn")
    return GivenReason(reason.leaf("Cd"), reason.leaf("Prtry"), given.leaves("AddtlInf"))


def _charge(record: Parts) -> Charge:
    amount = read_amount(record)
    sign = (
        read_sign(record) if record.leaf("CdtDbtInd") else -1
    )  # a charge that says nothing is one that is paid
    kind = record.part("Tp")
    return Charge(
        amount=Amount(sign * amount.minor, amount.currency),
        included=read_flag(record, "ChrgInclInd"),
        kind=kind.leaf("Cd") or kind.part("Prtry").leaf("Id"),
    )


def _amount(tx: Parts, amounts: Parts, *, sign: int) -> Amount | None:
    printed = tx if tx.attribute("Amt", "Ccy") else amounts.part("TxAmt")
    if not printed:
        return None
    amount = read_amount(printed)
    own = read_sign(tx) if tx.leaf("CdtDbtInd") else sign
    return Amount(own * amount.minor, amount.currency)


def _references(structured: list[Parts]) -> Iterator[str]:
    for each in structured:
        for reference in each.every("CdtrRefInf"):
            if (text := reference.leaf("Ref")) is not None:
                yield text


def _documents(structured: list[Parts]) -> Iterator[str]:
    for each in structured:
        for document in each.every("RfrdDocInf"):
            if (text := document.leaf("Nb")) is not None:
                yield text
