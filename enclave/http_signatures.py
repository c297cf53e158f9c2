"""Signatures over HTTP messages: the bytes that are signed, the two fields that carry the signature, the verifier.

Pure: the private key is wherever the caller's `sign` reaches, and verifying takes public keys only. One algorithm,
ecdsa-p256-sha256. Every text that is signed has one spelling: a field that is not in its canonical form, comes
twice, or carries what this module does not know is refused rather than interpreted, so no two readers can
disagree about what was signed. Components take no parameters (`sf`, `key`, `bs`, `req`, `tr` are refused).
An ECDSA signature has a second valid form, so a signature may not serve as a unique key: the nonce does.
Follows: RFC 9421 (HTTP Message Signatures), RFC 9651 (structured fields), RFC 9530 (Content-Digest).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave.keys import P256_SIGNATURE_BYTES, der_signature

ALGORITHM = "ecdsa-p256-sha256"
REQUEST_COMPONENTS = ("@method", "@target-uri", "content-digest", "content-type")
RESPONSE_COMPONENTS = ("@status", "content-digest", "content-type")
STRICT_PARAMETERS = frozenset({"created", "expires", "keyid", "alg", "nonce"})
AGE_S_MAX = 300
CLOCK_SKEW_S_MAX = 30
COMPONENTS_MAX = 32
FIELD_CHARS_MAX = 8192
TEXT_CHARS_MAX = 256
UNIX_SECONDS_MAX = 2**37  # some four thousand years, and still a date

MessageSigner: TypeAlias = Callable[[bytes], bytes]
FieldLines: TypeAlias = tuple[tuple[str, str], ...]
ParameterValue: TypeAlias = int | str

_KINDS: Mapping[str, type] = {
    "created": int,
    "expires": int,
    "keyid": str,
    "alg": str,
    "nonce": str,
    "tag": str,
}
_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COMPONENT = re.compile(r"@?[!#$%&'*+.^_`|~0-9a-z-]+")
_LABEL = re.compile(r"[a-z*][a-z0-9_.*-]*")
_PRINTABLE = re.compile(r"[ -~]+")
_FIELD_VALUE = re.compile(r"([!-~]([\t -~]*[!-~])?)?")
_TARGET = re.compile(
    r"(?P<scheme>https?)://(?P<authority>([0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)"
    r"(?P<path>/([0-9A-Za-z._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)"
    r"(?P<query>\?([0-9A-Za-z._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_INNER_LIST = re.compile(r"\((?P<components>[^()]*)\)(?P<parameters>.*)")
_PARAMETER = re.compile(
    r';(?P<name>[a-z]+)=((?P<number>[0-9]{1,12})|"(?P<text>([ !#-\[\]-~]|\\["\\])*)")',
)


class HttpSignatureInvalid(ValueError):
    """The message, its signature, or what was asked of them is not what it must be; says no more than that."""

    def __init__(self) -> None:
        super().__init__("the HTTP message and its signature are not what they must be")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out or came in: its absolute target URI, and its fields one pair a line."""

    method: str
    target_uri: str
    fields: FieldLines
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it goes out or came in: its fields one pair a line."""

    status: int
    fields: FieldLines
    body: bytes


Message: TypeAlias = Request | Response


@dataclass(frozen=True, slots=True)
class Terms:
    """What a signer says about its signature. Times are sent in whole seconds."""

    key_id: str
    created: datetime
    expires: datetime
    nonce: str
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """What is covered and on what terms, in the order in which it is written.

    Raises:
        HttpSignatureInvalid: a component or parameter is unknown, malformed, or named twice.
    """

    components: tuple[str, ...]
    parameters: tuple[tuple[str, ParameterValue], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parameters]
        distinct = len({*self.components}) == len(self.components) and len({*names}) == len(names)
        if not distinct or len(self.components) > COMPONENTS_MAX:
            raise HttpSignatureInvalid
        if not all(map(_COMPONENT.fullmatch, self.components)):
            raise HttpSignatureInvalid
        if not all(_well_formed(name, value) for name, value in self.parameters):
            raise HttpSignatureInvalid

    def text(self) -> str:
        """The inner list with its parameters, as a structured field writes it."""
        covered = " ".join(_quoted(component) for component in self.components)
        said = "".join(f";{name}={_bare_item(value)}" for name, value in self.parameters)
        return f"({covered}){said}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a verifier insists on: every name in `components` and `parameters`, and exactly this tag or none.

    Raises:
        HttpSignatureInvalid: a policy under which target or body could be exchanged, or age would be unknown.
    """

    label: str
    components: tuple[str, ...]
    parameters: frozenset[str] = STRICT_PARAMETERS
    tag: str | None = None
    age_s_max: int = AGE_S_MAX
    clock_skew_s_max: int = CLOCK_SKEW_S_MAX

    def __post_init__(self) -> None:
        if not _binds(self.components) or not {"created", "keyid"} <= self.parameters:
            raise HttpSignatureInvalid
        if not _LABEL.fullmatch(self.label):
            raise HttpSignatureInvalid


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """Who signed what, when. Who must act once remembers (key_id, nonce) until the signature is too old."""

    key_id: str
    components: tuple[str, ...]
    created: datetime
    expires: datetime | None
    nonce: str | None


def content_digest(body: bytes) -> str:
    """The value of Content-Digest for this body, by SHA-256."""
    return _digest_member("sha-256", body)


def sign_message(
    message: Message, terms: Terms, *, label: str, components: tuple[str, ...], sign: MessageSigner
) -> dict[str, str]:
    """The two fields to add to the message. Its Content-Digest must stand among its fields already.

    Raises:
        HttpSignatureInvalid: target or body are not covered, a covered component is missing, ambiguous or
            untrue, the terms cannot be written, or `sign` did not answer with r||s.
    """
    if not _binds(components) or not _LABEL.fullmatch(label) or terms.created >= terms.expires:
        raise HttpSignatureInvalid
    _check_digest(message)
    said = _signature_input(components, terms)
    signature = sign(signature_base(message, said))
    if len(signature) != P256_SIGNATURE_BYTES:
        raise HttpSignatureInvalid
    encoded = base64.b64encode(signature).decode()
    return {"signature-input": f"{label}={said.text()}", "signature": f"{label}=:{encoded}:"}


def signature_base(message: Message, said: SignatureInput) -> bytes:
    """The bytes that are signed: a line for each covered component, and last a line for the terms.

    Raises:
        HttpSignatureInvalid: a covered component is missing, ambiguous, or unknown for this kind of message.
    Source: RFC 9421 2.5.
    """
    lines = [f"{_quoted(component)}: {_value(message, component)}" for component in said.components]
    return "\n".join([*lines, f'"@signature-params": {said.text()}']).encode("ascii")


def verify_message(
    message: Message, policy: Policy, *, keys: Mapping[str, str], now: datetime
) -> VerifiedSignature:
    """What the message's one signature says, once it has been found to satisfy the policy.

    `keys` maps key ids to P-256 public keys in PEM: our own list, never anything that came with a message.

    Raises:
        HttpSignatureInvalid: anything else.
    """
    said = _read_input(_only_field(message, "signature-input"), policy.label)
    signature = _read_signature(_only_field(message, "signature"), policy.label)
    verified = _check_terms(said, policy, now)
    _check_digest(message)
    if verified.key_id not in keys:
        raise HttpSignatureInvalid
    _check_signature(keys[verified.key_id], signature_base(message, said), signature)
    return verified


def _binds(components: tuple[str, ...]) -> bool:
    """Whether a signature over these holds the message to its target, or its status, and its body."""
    covered = {*components}
    target = "@target-uri" in covered or {"@authority", "@path", "@query"} <= covered
    return "content-digest" in covered and (("@method" in covered and target) or "@status" in covered)


def _signature_input(components: tuple[str, ...], terms: Terms) -> SignatureInput:
    said: list[tuple[str, ParameterValue]] = [
        ("created", int(terms.created.timestamp())),
        ("expires", int(terms.expires.timestamp())),
        ("keyid", terms.key_id),
        ("alg", ALGORITHM),
        ("nonce", terms.nonce),
    ]
    if terms.tag is not None:
        said.append(("tag", terms.tag))
    return SignatureInput(components=components, parameters=tuple(said))


def _well_formed(name: str, value: ParameterValue) -> bool:
    if type(value) is not _KINDS.get(name):
        return False
    if isinstance(value, int):
        return 0 <= value <= UNIX_SECONDS_MAX
    return len(value) <= TEXT_CHARS_MAX and _PRINTABLE.fullmatch(value) is not None


def _bare_item(value: ParameterValue) -> str:
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(message: Message, component: str) -> str:
    if not component.startswith("@"):
        return _only_field(message, component)
    match message, component:
        case Request(), "@method" if _TOKEN.fullmatch(message.method):
            return message.method
        case Request(), "@target-uri" | "@scheme" | "@authority" | "@path" | "@query":
            return _part_of_target(message.target_uri, component)
        case Response(), "@status" if 100 <= message.status <= 599:
            return str(message.status)
        case _:
            raise HttpSignatureInvalid


def _part_of_target(target_uri: str, component: str) -> str:
    target = _TARGET.fullmatch(target_uri)
    if target is None or len(target_uri) > FIELD_CHARS_MAX:
        raise HttpSignatureInvalid
    match component:
        case "@authority":
            return target["authority"].lower().removesuffix(_DEFAULT_PORTS[target["scheme"]])
        case "@query":
            # No query and an empty one are written alike: RFC 9421 2.2.7.
            return target["query"] or "?"
        case "@target-uri":
            return target_uri
        case _:
            return target[component.removeprefix("@")]


def _only_field(message: Message, name: str) -> str:
    """The field's one line; two lines could be read as one, or the other, or both."""
    lines = [value for field, value in message.fields if field.lower() == name]
    if len(lines) != 1 or len(lines[0]) > FIELD_CHARS_MAX:
        raise HttpSignatureInvalid
    value = lines[0].strip(" \t")
    if not _FIELD_VALUE.fullmatch(value):
        raise HttpSignatureInvalid
    return value


def _read_input(field: str, label: str) -> SignatureInput:
    """The one member, with this label. Any other label, or a second member, does not read as this one."""
    inner = _INNER_LIST.fullmatch(field.removeprefix(f"{label}="))
    if inner is None:
        raise HttpSignatureInvalid
    said = SignatureInput(
        components=tuple(name.strip('"') for name in inner["components"].split(" ") if name),
        parameters=tuple(_read_parameter(found) for found in _PARAMETER.finditer(inner["parameters"])),
    )
    # Written again, what was read must be what came: there is no other spelling, and nothing was passed over.
    if f"{label}={said.text()}" != field:
        raise HttpSignatureInvalid
    return said


def _read_parameter(found: re.Match[str]) -> tuple[str, ParameterValue]:
    if found["number"] is not None:
        return found["name"], int(found["number"])
    return found["name"], re.sub(r'\\(["\\])', r"\1", found["text"])


def _read_signature(field: str, label: str) -> bytes:
    encoded = field.removeprefix(f"{label}=:").removesuffix(":")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise HttpSignatureInvalid from None
    if field != f"{label}=:{base64.b64encode(signature).decode()}:":
        raise HttpSignatureInvalid
    return signature


def _check_terms(said: SignatureInput, policy: Policy, now: datetime) -> VerifiedSignature:
    terms = dict(said.parameters)
    if not policy.parameters <= {*terms} or not {*policy.components} <= {*said.components}:
        raise HttpSignatureInvalid
    if terms.get("tag") != policy.tag or terms.get("alg", ALGORITHM) != ALGORITHM:
        raise HttpSignatureInvalid
    verified = _verified(said)
    age_s = (now - verified.created).total_seconds()
    if not -policy.clock_skew_s_max <= age_s <= policy.age_s_max:
        raise HttpSignatureInvalid
    if verified.expires is not None and not verified.created < verified.expires > now:
        raise HttpSignatureInvalid
    return verified


def _verified(said: SignatureInput) -> VerifiedSignature:
    texts = {name: value for name, value in said.parameters if isinstance(value, str)}
    times = {
        name: datetime.fromtimestamp(value, tz=UTC)
        for name, value in said.parameters
        if isinstance(value, int)
    }
    return VerifiedSignature(
        key_id=texts["keyid"],
        components=said.components,
        created=times["created"],
        expires=times.get("expires"),
        nonce=texts.get("nonce"),
    )


def _check_digest(message: Message) -> None:
    """The digest is computed from the body again: a signature over a digest says nothing of another body."""
    field = _only_field(message, "content-digest")
    algorithm = field.partition("=")[0]
    if algorithm not in _DIGESTS or not hmac.compare_digest(field, _digest_member(algorithm, message.body)):
        raise HttpSignatureInvalid


def _digest_member(algorithm: str, body: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(_DIGESTS[algorithm](body)).decode()}:"


def _check_signature(public_key_pem: str, message: bytes, signature: bytes) -> None:
    if len(signature) != P256_SIGNATURE_BYTES:
        raise HttpSignatureInvalid
    try:
        _p256_key(public_key_pem).verify(der_signature(signature), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise HttpSignatureInvalid from None


@lru_cache(maxsize=64)
def _p256_key(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise HttpSignatureInvalid from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise HttpSignatureInvalid
    return key
