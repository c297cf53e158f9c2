"""The bodies of returns, recalls and their answers, and of payee checks, as the bank's own API takes them.

The published examples write a paymentId in small letters although the pattern asks for capitals; both are
taken.

Source: ClearBank EU schemas 1.0-SEPA-CT, 1.0-SEPA-INSTANT and 1.0VOP.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from partners.sandbox.models import BicB, Day, Guid, Iban, InstAmount, Strict, Txt

Txt105 = Annotated[Txt, Field(max_length=105)]
RecallReason = Literal["DUPL", "TECH", "FRAD", "AC03", "AM09", "CUST"]
Rejection = Literal["AC04", "AM04", "ARDT", "CUST", "LEGL", "NOAS", "NOOR"]
_WITH_INFORMATION = frozenset({"FRAD", "CUST", "AC03", "AM09"})


class CtReturn(Strict):
    """POST /payments/sepa-ct/v1/payment-returns."""

    payment_id: Guid


class CtRecall(Strict):
    """POST /payments/sepa-ct/v1/recall."""

    payment_id: Guid
    recall_code: RecallReason
    additional_info: Txt105 | None = None


class CtRecallAnswer(Strict):
    """POST /payments/sepa-ct/v1/recall-response."""

    payment_id: Guid
    recall_response_accepted: bool
    reject_code: Rejection | None = None
    additional_info: Txt105 | None = None

    @model_validator(mode="after")
    def _gives_a_reason_for_no(self) -> Self:
        if not self.recall_response_accepted and self.reject_code is None:
            raise ValueError("rejectCode is needed when the recall is not accepted")
        return self


class InstRecall(Strict):
    """POST /v1/payments/sepa-instant/{paymentId}/recall."""

    original_instructed_amount: InstAmount
    reason_code_for_recall: RecallReason
    additional_information: Annotated[str, Field(max_length=105)] | None = None
    original_instructed_date: Day

    @model_validator(mode="after")
    def _informs_where_it_may(self) -> Self:
        if self.additional_information is not None and self.reason_code_for_recall not in _WITH_INFORMATION:
            raise ValueError("additionalInformation goes with FRAD, CUST, AC03 and AM09 only")
        return self


class InstRecallAnswer(Strict):
    """POST /v1/payments/sepa-instant/{paymentId}/recall-response."""

    approve: bool
    rejection_code: Rejection | None = None

    @model_validator(mode="after")
    def _gives_a_reason_for_no_only(self) -> Self:
        if self.approve == (self.rejection_code is not None):
            raise ValueError("rejectionCode is needed to reject, and must not be set to approve")
        return self


class OtherId(Strict):
    identification_number: Annotated[str, Field(min_length=1, max_length=256)]
    scheme_name_code: Annotated[str, Field(max_length=4)] | None = None
    scheme_name_proprietary: Annotated[str, Field(max_length=35)] | None = None
    issuer: Annotated[str, Field(max_length=35)] | None = None


class OrganisationId(Strict):
    """Exactly one way to name an organisation. The published pattern of an LEI refuses most real ones."""

    lei: Annotated[str, Field(pattern=r"^[A-Z0-9]{18}[0-9]{2}$")] | None = None
    any_bic: Annotated[BicB | None, Field(alias="anyBIC")] = None
    others: OtherId | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in (self.lei, self.any_bic, self.others)) != 1:
            raise ValueError("exactly one of lei, anyBIC and others is needed")
        return self


class PayeeIdentification(Strict):
    organisation_id: OrganisationId


class Payee(Strict):
    name: Annotated[str, Field(min_length=1, max_length=140)] | None = None
    identification: PayeeIdentification | None = None


class PayeeAccount(Strict):
    iban: Iban


class PayeeInstitution(Strict):
    bicfi: BicB


class PayeeAgent(Strict):
    financial_institution_id: PayeeInstitution


class PayeeQuestion(Strict):
    """POST /open-banking/vop/v1/payees/single."""

    party: Payee
    party_account: PayeeAccount
    party_agent: PayeeAgent
    unstructured_remittance_information: list[Annotated[str, Field(max_length=140)]] | None = None
