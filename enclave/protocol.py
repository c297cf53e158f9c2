"""The messages: what may be asked of the enclave, field by field, and what it answers.

One datagram is one request and one datagram its answer, both canonical JSON. A request has exactly the fields
of its purpose: one more, one less, a boolean where an integer belongs, base64 or JSON spelt another way, and
it is refused before anyone looks at what it says. Knows no keys, no policy and no socket.
"""

import base64
import binascii
import hashlib
from dataclasses import field
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from enclave import canonical
from enclave.jwe import JWE_CHARS_MAX
from enclave.keys import VERSION_MAX
from enclave.refusals import Refusal, RefusalCode, refusal

# A 48 KiB manifest is 64 KiB of base64; the rest of its message wants room as well.
MANIFEST_BYTES_MAX = 48 * 1024
MESSAGE_BYTES_MAX = 72 * 1024
BODY_BYTES_MAX = 16 * 1024
SIZE_MAX = 2**63 - 1
# Nonce, a number of up to 19 digits, tag.
SEALED_CARD_BYTES_MAX = 12 + 19 + 16
# Stands before a manifest when it is signed: the signature cannot be taken for one over anything else.
EXPORT_PREFIX = b"tallystick-export-v1\n"
NONCE_BYTES = 32
FIELDS_NAMED_MAX = 5
FIELD_NAME_CHARS_MAX = 60
VERSIONS_MAX = 64
"""How many public keys go into one answer."""
NAMED_MAX = 100
"""How many things of a kind an answer names."""


def from_base64(value: object) -> bytes:
    """The bytes of standard base64 text in its one canonical spelling; bytes pass as they are.

    Raises:
        ValueError: not base64, or another spelling than the canonical one.
    """
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("base64 text is wanted")  # noqa: TRY004  # pydantic turns ValueError into its own
    try:
        raw = base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not base64") from error
    if to_base64(raw) != value:
        raise ValueError("not canonical base64")
    return raw


def to_base64(raw: bytes) -> str:
    """Standard base64 text, padded."""
    return base64.b64encode(raw).decode("ascii")


Base64Bytes: TypeAlias = Annotated[
    bytes, PlainValidator(from_base64), PlainSerializer(to_base64, return_type=str)
]
BodyBytes: TypeAlias = Annotated[Base64Bytes, Field(min_length=1, max_length=BODY_BYTES_MAX)]
PayoutId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\Apay_[0-9a-f]{32}\z")]
AttemptId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\Aatt_[0-9a-f]{32}\z")]
CardId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\Acrd_[0-9a-f]{32}\z")]
ProgrammeId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\Aprg_[0-9a-f]{32}\z")]
# Printable ASCII without the space, so that nothing can be hidden at the end of a line.
Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[!-~]+\z", min_length=1, max_length=200)]
Scope: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_.:-]*\z", max_length=64)]
# A checkpoint's origin is also the name of its key: C2SP signed-note allows neither spaces nor "+" there.
Origin: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[!-*,-~]+\z", min_length=1, max_length=200)]
UnixSeconds: TypeAlias = Annotated[int, Field(ge=0, le=2**37)]

BankProfile: TypeAlias = Literal["clearbank.sct", "clearbank.sct_inst", "iso20022.sct", "iso20022.sct_inst"]
BankMessageProfile: TypeAlias = Literal[
    "clearbank.webhook_ack",
    "clearbank.statement_request",
    "clearbank.virtual_account",
    "clearbank.account",
    "clearbank.payee",
]
BankQueryProfile: TypeAlias = Literal["clearbank.transactions", "clearbank.statement_page"]
BankQueryMethod: TypeAlias = Literal["GET", "DELETE"]

# How a bank wants to see that a request is ours. The first signs the body and nothing else, or the parts of a query.
HeaderScheme: TypeAlias = Literal["http_message", "detached_jws"]
BankScheme: TypeAlias = Literal["body_rsa_sha256", "http_message", "detached_jws"]
# Without a body there is nothing that a detached JWS could be detached from.
BankQueryScheme: TypeAlias = Literal["body_rsa_sha256", "http_message"]

# Lower case, as it is signed.
Authority: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"\A(?:[0-9a-z][0-9a-z.-]*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?\z", max_length=253
    ),
]
PathWithQuery: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
# From its end on, the signed text of a query can be taken apart in one way only, because both have one length.
RequestId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\Areq_[0-9a-f]{32}\z")]
RequestTime: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{9}\z")]

EndpointId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[a-z]{2,6}_[0-9a-f]{32}\z")]
# As in Standard Webhooks, without the full stop that would end it.
WebhookId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[0-9A-Za-z_-]{1,128}\z")]

_EXACT = ConfigDict(strict=True, extra="forbid", frozen=True)


class Message(BaseModel):
    """A request: frozen, strict, exact."""

    model_config = _EXACT


class Target(Message):
    """Where an HTTP request goes, as far as it is signed."""

    method: Annotated[str, StringConstraints(pattern=r"\A[A-Z]{3,7}\z")]
    authority: Authority
    path_with_query: PathWithQuery

    def text(self) -> str:
        """The target in one line, to be remembered by its digest."""
        return f"{self.method} {self.authority}{self.path_with_query}"

    def digest(self) -> str:
        """The SHA-256 of the line, in hex."""
        return hashlib.sha256(self.text().encode()).hexdigest()


class BodyRequest(Message):
    """Sign a body for the bank, by the bank's scheme.

    A target is named where the scheme signs it, and nowhere else.
    """

    scheme: BankScheme
    target: Target | None
    body: BodyBytes

    @model_validator(mode="after")
    def _names_a_target_only_to_have_it_signed(self) -> Self:
        if self.target is not None and self.scheme != "http_message":
            raise ValueError("this scheme signs no target")
        return self


class PayoutRequest(BodyRequest):
    """Sign the exact body of a payout's HTTP request to the bank."""

    purpose: Literal["payout"]
    payout_id: PayoutId
    attempt_id: AttemptId
    profile: BankProfile


class BankQueryRequest(Message):
    """Sign a request to the bank that has no body.

    Its authority is named for the scheme that signs it, its id and its time for the other.
    """

    purpose: Literal["bank_query"]
    profile: BankQueryProfile
    scheme: BankQueryScheme
    method: BankQueryMethod
    authority: Authority | None
    path_with_query: PathWithQuery
    request_id: RequestId | None
    request_time: RequestTime | None

    @model_validator(mode="after")
    def _names_what_its_scheme_signs(self) -> Self:
        named = (self.authority is not None, self.request_id is not None, self.request_time is not None)
        if named != ((True, False, False) if self.scheme == "http_message" else (False, True, True)):
            raise ValueError("this scheme signs other members")
        return self

    @property
    def target(self) -> Target | None:
        """The target, if it is signed as such."""
        if self.authority is None:
            return None
        return Target(method=self.method, authority=self.authority, path_with_query=self.path_with_query)

    def text(self) -> bytes:
        """What the bank wants signed: method, path, id and time, nothing between them.

        To be read from its end: ten digits of time, thirty-six characters of id, and then the path, which begins at
        the first slash. No two queries have the same text.
        """
        return f"{self.method}{self.path_with_query}{self.request_id}{self.request_time}".encode()


class BankMessageRequest(BodyRequest):
    """Sign a body for the bank that moves no money."""

    purpose: Literal["bank_message"]
    profile: BankMessageProfile


class WebhookRequest(Message):
    """Sign a webhook of ours, for one attempt to deliver it."""

    purpose: Literal["webhook"]
    endpoint_id: EndpointId
    message_id: WebhookId
    payload: BodyBytes


class WebhookSecretRequest(Message):
    """Ask for an endpoint's secret, to show it to the endpoint's owner."""

    purpose: Literal["webhook_secret"]
    endpoint_id: EndpointId


class Claims(Message):
    """What an access token says.

    Units: `issued_at` and `expires_at` in whole seconds since 1970, UTC.
    """

    client_id: Word
    programme_id: Word | None
    scopes: Annotated[tuple[Scope, ...], Field(max_length=64)]
    audience: Word
    issuer: Word
    issued_at: UnixSeconds
    expires_at: UnixSeconds
    token_id: Word


class AccessTokenRequest(Message):
    """Issue an access token."""

    purpose: Literal["access_token"]
    claims: Claims


class CheckpointRequest(Message):
    """Sign a checkpoint of the ledger's log."""

    purpose: Literal["checkpoint"]
    origin: Origin
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)]
    root: Annotated[Base64Bytes, Field(min_length=32, max_length=32)]


class ExportRequest(Message):
    """Sign the manifest of an audit export."""

    purpose: Literal["export"]
    manifest: Annotated[Base64Bytes, Field(min_length=2, max_length=MANIFEST_BYTES_MAX)]


class AttestationRequest(Message):
    """Ask the enclave what it is; the nonce makes the answer one to this question."""

    purpose: Literal["attestation"]
    nonce: Annotated[Base64Bytes, Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]


class CardRow(Message):
    """A card as the database keeps it."""

    card_id: CardId
    bin: Annotated[str, StringConstraints(pattern=r"\A(?:[0-9]{6}|[0-9]{8})\z")]
    last_four: Annotated[str, StringConstraints(pattern=r"\A[0-9]{4}\z")]
    expiry_month: Annotated[int, Field(ge=1, le=12)]
    expiry_year: Annotated[int, Field(ge=2000, le=2099)]
    fingerprint: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
    key_id: Annotated[str, StringConstraints(pattern=r"\A[a-z_]{1,32}/v[1-9][0-9]{0,4}\z")]
    sealed: Annotated[Base64Bytes, Field(min_length=1, max_length=SEALED_CARD_BYTES_MAX)]


class PublicKeysRequest(Message):
    """Ask for the public keys."""

    purpose: Literal["public_keys"]


class KeyVersionsRequest(Message):
    """Ask for the public keys of one purpose whose signatures count, in the order of their versions."""

    purpose: Literal["key_versions"]
    of: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9_]+\z", max_length=64)]
    after: Annotated[int, Field(ge=0, le=VERSION_MAX)]


class LoadKeysRequest(Message):
    """Say that the custodians have resolved something new."""

    purpose: Literal["load_keys"]


class PingRequest(Message):
    """Ask whether anyone is there."""

    purpose: Literal["ping"]


class CardSealRequest(Message):
    """Take in a card that its caller encrypted, under a token."""

    purpose: Literal["card_seal"]
    programme_id: ProgrammeId
    card_id: CardId
    jwe: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_.-]+\z", max_length=JWE_CHARS_MAX)]


class CardResealRequest(Message):
    """Seal a card anew under the current key."""

    purpose: Literal["card_reseal"]
    programme_id: ProgrammeId
    card: CardRow


class CardForwardRequest(Message):
    """Encrypt a card to a processor that the enclave knows by name."""

    purpose: Literal["card_forward"]
    programme_id: ProgrammeId
    card: CardRow
    recipient: Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_.-]{0,31}\z")]


CardRequest: TypeAlias = CardSealRequest | CardResealRequest | CardForwardRequest
SigningRequest: TypeAlias = (
    PayoutRequest
    | BankQueryRequest
    | BankMessageRequest
    | AccessTokenRequest
    | CheckpointRequest
    | ExportRequest
    | AttestationRequest
    | WebhookRequest
    | WebhookSecretRequest
)
Request: TypeAlias = (
    SigningRequest | CardRequest | PublicKeysRequest | KeyVersionsRequest | LoadKeysRequest | PingRequest
)
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="purpose")])


def read_request(data: bytes) -> Request | Refusal:
    """The request that a datagram holds, or why it holds none."""
    if len(data) > MESSAGE_BYTES_MAX:
        return refusal(RefusalCode.MESSAGE_TOO_LARGE)
    if not _is_canonical(data):
        return refusal(RefusalCode.MESSAGE_NOT_CANONICAL)
    try:
        return _REQUEST.validate_json(data, strict=True)
    except ValidationError as error:
        return Refusal(code=RefusalCode.MESSAGE_FIELDS_REFUSED, detail=_fields_named(error))


def _is_canonical(data: bytes) -> bool:
    try:
        return canonical.encode(canonical.parse(data)) == data
    except (canonical.JsonUnreadable, TypeError, RecursionError):
        # TypeError: a fraction, which canonical JSON does not have.
        return False


def _fields_named(error: ValidationError) -> str:
    """Which fields were wrong and how; never what they held."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    places = (".".join(str(step) for step in fault["loc"]) or "message" for fault in faults)
    named = (
        f"{place[:FIELD_NAME_CHARS_MAX]}: {fault['type']}"
        for place, fault in zip(places, faults, strict=True)
    )
    return "; ".join(list(named)[:FIELDS_NAMED_MAX])


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class Signature:
    """A signature over bytes that the caller has.

    `digest` is the SHA-256, in hex, of the bytes that the signature covers.
    """

    signature: Base64Bytes
    key_id: str
    digest: str

    @property
    def signature_base64(self) -> str:
        """The signature as standard base64 text, as bank headers want it."""
        return to_base64(self.signature)


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class SignedHeaders:
    """A signature as the header fields that carry it, to be sent as they are beside the body.

    `digest` is the SHA-256, in hex, of the body, be it empty.
    """

    headers: dict[str, str]
    key_id: str
    digest: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class WebhookSecret:
    """The secret that an endpoint's owner checks webhooks with: `whsec_` and base64."""

    secret: str = field(repr=False)
    key_id: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class IssuedToken:
    """An access token, compact serialisation."""

    token: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class SignedCheckpoint:
    """A whole signed note, ready to publish."""

    note: str
    key_id: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class Attestation:
    """What the enclave says of itself, signed; `enclave.attestation` reads it. The key comes along in PEM."""

    statement: Base64Bytes
    signature: Base64Bytes
    identity_pem: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class PublicKey:
    """A public key, SubjectPublicKeyInfo in PEM, under its id."""

    key_id: str
    pem: str


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class PublicKeys:
    """The public key that each purpose signs with now."""

    keys: dict[str, PublicKey]


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class KeyVersions:
    """Public keys of one purpose; `more`: there are later versions."""

    versions: list[PublicKey]
    more: bool


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class KeysLoaded:
    """What loading the keys found: how many are ready, by which resolution, and what is not used and why.

    `sealing` is the key that seals cards from now on, and `sealing_changes_at` when another one may, in whole seconds
    since 1970: by these it is known when cards have to be sealed anew.
    """

    resolution: int
    ready: int
    unregistered: list[str]
    unusable: list[str]
    left_out: list[str]
    sealing: str | None
    sealing_changes_at: int | None


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class Pong:
    """Someone is there."""


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class SealedCard:
    """A card under its token: what may be shown of it, and its number, sealed. To be kept as it is."""

    card_id: str
    bin: str
    last_four: str
    expiry_month: int
    expiry_year: int
    fingerprint: str
    key_id: str
    sealed: Base64Bytes


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class ForwardedCard:
    """A card as a JWE that one processor opens, and nobody else."""

    card_id: str
    recipient: str
    jwe: str


CardAnswer: TypeAlias = SealedCard | ForwardedCard
Answer: TypeAlias = (
    Signature
    | SignedHeaders
    | WebhookSecret
    | IssuedToken
    | SignedCheckpoint
    | Attestation
    | CardAnswer
    | PublicKeys
    | KeyVersions
    | KeysLoaded
    | Pong
)
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def write_answer(answer: Answer | Refusal) -> bytes:
    """The datagram that carries an answer."""
    if isinstance(answer, Refusal):
        return canonical.encode({"ok": False, "refusal": str(answer.code), "detail": answer.detail})
    fields = _ANSWER.dump_python(answer)
    return canonical.encode({"ok": True, **fields})
