"""Who may call: client credentials (RFC 6749), bearer tokens (RFC 6750), scopes, and a programme's own walls."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwt

from api.auth import PROGRAMME_SCOPES
from tests.api.installation import PUBLIC_URL, Installation
from tests.api.talk import Json, Session, refused
from tests.api.world import Shop

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def shop(shared_shop: Shop) -> Shop:
    """These tests change nothing of the shop's."""
    return shared_shop


def ask(installation: Installation, shop: Shop, **request: object) -> httpx.Response:
    usual: dict[str, object] = {"data": GRANT, "auth": (shop.client_id, shop.secret)}
    return installation.http.post("/oauth/token", **usual | request)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def forged(shop: Shop, **changes: object) -> str:
    """A token with the claims of a real one, signed by somebody else's key."""
    header, claims = (json.loads(decoded(part)) for part in shop.api.token.split(".")[:2])
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return str(jwt.encode(claims | changes, pem, algorithm="ES256", headers=header))


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


# --- credentials --------------------------------------------------------------------------------------------


def test_client_gets_a_token_by_basic_or_by_form(installation: Installation, shop: Shop) -> None:
    in_form = GRANT | {"client_id": shop.client_id, "client_secret": shop.secret}

    for answer in (ask(installation, shop), installation.http.post("/oauth/token", data=in_form)):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
        assert body["scope"] == "compliance payments reports"


def test_client_may_ask_for_less_than_it_has(installation: Installation, shop: Shop) -> None:
    narrow = installation.session(shop.client_id, shop.secret, scope="reports")

    assert narrow.get("/v1/reports/trial-balance").status_code == 200
    refused(narrow.get("/v1/parties"), 403, "scope_missing")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (None, "wrong"),
        (None, ""),
        ("cli_unknown", None),
        ("", None),
        ("", ""),
        ("a\x00b", None),
        (None, "a\x00b"),
    ],
)
def test_wrong_client_and_wrong_secret_look_alike(
    installation: Installation, shop: Shop, name: str | None, secret: str | None
) -> None:
    credentials = shop.client_id if name is None else name, shop.secret if secret is None else secret

    with installation.nothing_changes():
        answer = ask(installation, shop, auth=credentials)
        in_form = installation.http.post(
            "/oauth/token", data=GRANT | {"client_id": credentials[0], "client_secret": credentials[1]}
        )

    assert refused(answer, 401, "invalid_client") == refused(in_form, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ==",
        "Basic " + "/w==",
        "Bearer x",
        "Digest a",
        "basic YTpi\x00",
    ],
)
def test_malformed_credentials_are_no_credentials(installation: Installation, authorization: str) -> None:
    answer = installation.http.post("/oauth/token", data=GRANT, headers={"Authorization": authorization})

    refused(answer, 401, "invalid_client")


@pytest.mark.parametrize("scope", ["operate", "payments operate", "everything", "PAYMENTS", "payments\x00"])
def test_scope_beyond_the_clients_own_is_refused(installation: Installation, shop: Shop, scope: str) -> None:
    refused(ask(installation, shop, data=GRANT | {"scope": scope}), 400, "invalid_scope")


@pytest.mark.parametrize("grant", ["password", "authorization_code", "", "CLIENT_CREDENTIALS"])
def test_other_grants_are_refused(installation: Installation, shop: Shop, grant: str) -> None:
    refused(ask(installation, shop, data={"grant_type": grant, "a": "b"}), 400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unsupported_grant_type"),
        (b"scope=payments", "unsupported_grant_type"),
        (b"not a form", "invalid_request"),
        (b'{"grant_type": "client_credentials"}', "invalid_request"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        (b"grant_type=client_credentials&scope=\xff", "invalid_request"),
        (b"&".join(b"a%d=1" % number for number in range(50)), "invalid_request"),
        (b"a" * 1_000_000, "invalid_request"),
    ],
)
def test_body_that_is_no_form_is_refused(
    installation: Installation, shop: Shop, content: bytes, code: str
) -> None:
    headers = basic(f"{shop.client_id}:{shop.secret}") | {"Content-Type": "application/x-www-form-urlencoded"}

    answer = installation.http.post("/oauth/token", content=content, headers=headers)

    refused(answer, 400, code)


# --- tokens -------------------------------------------------------------------------------------------------


def tokens_of_nobody(installation: Installation, shop: Shop) -> dict[str, str]:
    header, claims, signature = shop.api.token.split(".")
    more = json.loads(decoded(claims)) | {"scope": "payments compliance reports operate"}
    none = encoded({"alg": "none", "typ": "at+jwt"})
    return {
        "no token": "x",
        "two dots": "..",
        "another key": forged(shop),
        "more scopes": f"{header}.{encoded(more)}.{signature}",
        "signature cut off": f"{header}.{claims}.",
        "signature of other bytes": f"{header}.{claims}.{signature[:-4]}AAAA",
        "no algorithm": f"{none}.{claims}.",
        "another installation": issued(installation, shop, audience="http://elsewhere.test"),
        "another issuer": issued(installation, shop, issuer="http://elsewhere.test"),
        "very long": "a" * 9000,
        "blanks": f"{header} {claims} {signature}",
    }


TOKENS_OF_NOBODY = (
    "no token", "two dots", "another key", "more scopes", "signature cut off", "signature of other bytes",
    "no algorithm", "another installation", "another issuer", "very long", "blanks",
)  # fmt: skip


def issued(
    installation: Installation, shop: Shop, *, audience: str = PUBLIC_URL, issuer: str = PUBLIC_URL
) -> str:
    """A token from our own enclave."""
    now = datetime.now(UTC)
    return installation.parts.enclave.access_token(
        client_id=shop.client_id,
        programme_id=shop.programme_id,
        scopes=["payments"],
        audience=audience,
        issuer=issuer,
        issued_at=now,
        expires_at=now + timedelta(minutes=5),
        token_id="t-1",
    ).token


def test_token_of_ours_opens(installation: Installation, shop: Shop) -> None:
    session = Session(installation.http, issued(installation, shop))

    assert session.get("/v1/parties").status_code == 200


@pytest.mark.parametrize("case", TOKENS_OF_NOBODY)
def test_token_that_is_not_ours_opens_nothing(installation: Installation, shop: Shop, case: str) -> None:
    session = Session(installation.http, tokens_of_nobody(installation, shop)[case])

    with installation.nothing_changes():
        read = session.get("/v1/parties")
        written = session.post("/v1/checkouts", shop.cart())

    for answer in (read, written):
        refused(answer, 401, "token_invalid")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_body_of_somebody_unknown_is_not_read(installation: Installation) -> None:
    answer = installation.http.post("/v1/transfers/batch", content=b'{"groups": [[')

    refused(answer, 401, "token_missing")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x", "bearer"])
def test_request_without_a_token_is_refused(
    installation: Installation, shop: Shop, authorization: str | None
) -> None:
    headers = {"Idempotency-Key": "k"} | ({} if authorization is None else {"Authorization": authorization})

    with installation.nothing_changes():
        answer = installation.http.post("/v1/checkouts", json=shop.cart(), headers=headers)

    refused(answer, 401, "token_missing")


def test_token_opens_until_its_time_is_over(installation: Installation, shop: Shop) -> None:
    fresh = installation.session(shop.client_id, shop.secret)
    fresh.read("/v1/parties")  # from here on the token is remembered

    installation.clock.ahead = timedelta(seconds=890)
    still = fresh.get("/v1/parties")
    installation.clock.ahead = timedelta(seconds=901)
    try:
        with installation.nothing_changes():
            answers = [fresh.get("/v1/parties"), fresh.post("/v1/checkouts", shop.cart())]
    finally:
        installation.clock.ahead = timedelta()

    assert still.status_code == 200
    for answer in answers:
        assert refused(answer, 401, "token_expired")["retry"] == "new_token"


# --- scopes -------------------------------------------------------------------------------------------------

NEEDS = (
    ("payments", "POST", "/v1/parties"), ("payments", "GET", "/v1/parties"),
    ("payments", "POST", "/v1/parties/{ana}/authenticators"), ("payments", "POST", "/v1/virtual-ibans"),
    ("payments", "GET", "/v1/virtual-ibans/x"), ("payments", "GET", "/v1/deposits"),
    ("payments ledger:read", "GET", "/v1/accounts/{account}"),
    ("payments ledger:read", "GET", "/v1/accounts/{account}/entries"),
    ("payments", "POST", "/v1/checkouts"), ("payments", "GET", "/v1/checkouts/x"),
    ("payments", "POST", "/v1/checkouts/x/authentication"), ("payments", "POST", "/v1/checkouts/x/captures"),
    ("payments", "POST", "/v1/checkouts/x/refunds"), ("payments", "POST", "/v1/payouts"),
    ("payments", "GET", "/v1/payouts"), ("payments", "GET", "/v1/payouts/x"), ("payments", "POST", "/v1/sweeps"),
    ("payments", "POST", "/v1/payouts/x/cancellations"), ("compliance", "POST", "/v1/payouts/x/holds"),
    ("compliance", "POST", "/v1/payouts/x/resumptions"),
    ("payments", "POST", "/v1/payouts/x/approvals"), ("payments", "POST", "/v1/parties/{ana}/payout-accounts"),
    ("payments", "POST", "/v1/cards"), ("payments", "GET", "/v1/cards/x"), ("payments", "DELETE", "/v1/cards/x"),
    ("payments", "GET", "/v1/cards/intake-key"),
    ("compliance", "GET", "/v1/payout-accounts"), ("compliance", "POST", "/v1/payout-accounts/x/verification"),
    ("compliance", "POST", "/v1/sanctions-lists"), ("compliance", "GET", "/v1/cases"),
    ("reports", "POST", "/v1/statement-requests"), ("reports", "GET", "/v1/statement-requests/x"),
    ("reports", "POST", "/v1/reconciliations"), ("reports", "GET", "/v1/reports/reconciliation"),
    ("reports", "GET", "/v1/reports/safeguarding"), ("reports ledger:read", "GET", "/v1/reports/trial-balance"),
    ("reports", "POST", "/v1/exports"), ("reports", "GET", "/v1/exports/x"),
    ("reports", "GET", "/v1/exports/x/package"), ("reports", "GET", "/v1/public-keys"),
    ("reports", "GET", "/v1/log/checkpoint"), ("reports", "GET", "/v1/log/checkpoints/x"),
    ("reports", "GET", "/v1/log/transfers/x/proof"), ("reports", "GET", "/v1/log/consistency"),
    ("ledger:read", "GET", "/v1/accounts"), ("ledger:read", "GET", "/v1/accounts/{account}/balance"),
    ("ledger:read", "GET", "/v1/accounts/{account}/statement"), ("ledger:read", "GET", "/v1/balances"),
    ("ledger:read", "GET", "/v1/transfers"), ("ledger:read", "GET", "/v1/transfers/x"),
    ("ledger:read", "GET", "/v1/periods"), ("ledger:read", "GET", "/v1/units"),
    ("periods:write", "POST", "/v1/periods"), ("periods:write", "POST", "/v1/periods/x/transitions"),
    ("units:write", "POST", "/v1/units"),
    ("transfers:write", "POST", "/v1/transfers"), ("transfers:write", "POST", "/v1/transfers/batch"),
    ("operate", "POST", "/v1/programmes"), ("operate", "POST", "/v1/programmes/{programme}/clients"),
    ("operate", "GET", "/v1/test-clock"), ("operate", "POST", "/v1/test-clock"),
)  # fmt: skip
OPEN = {("GET", "/healthz"), ("POST", "/oauth/token"), ("POST", "/webhooks/banks/{connection}")}


@pytest.fixture(scope="module")
def narrow(shared_shop: Shop) -> dict[str, Session]:
    """One client of the shop's for each scope that a client can have, and the operator."""
    at, sessions = shared_shop.at, {"operate": shared_shop.at.operator}
    for scope in sorted(PROGRAMME_SCOPES):
        path = f"/v1/programmes/{shared_shop.programme_id}/clients"
        made = at.operator.make(path, {"scopes": [scope]})
        sessions[scope] = at.session(made["client_id"], made["client_secret"])
    return sessions


@pytest.mark.parametrize(("scopes", "method", "path"), NEEDS)
def test_endpoint_opens_to_its_scopes_alone(
    shop: Shop, narrow: dict[str, Session], scopes: str, method: str, path: str
) -> None:
    where = path.format(ana=shop.ana["id"], account=shop.ana["account_id"], programme=shop.programme_id)

    answers = {}
    with shop.at.nothing_changes():
        for held, session in narrow.items():
            answers[held] = (
                session.get(where) if method == "GET" else session.send(where, b"", key=" ", method=method)
            )

    for scope in scopes.split():
        assert answers.pop(scope).status_code not in {401, 403}
    for answer in answers.values():
        refused(answer, 403, "scope_missing")
        assert f'scope="{scopes.split(maxsplit=1)[0]}"' in answer.headers["www-authenticate"]


def test_every_endpoint_but_the_open_ones_needs_a_scope(installation: Installation) -> None:
    document = installation.http.get("/openapi.json").json()
    found = {(method.upper(), path) for path, item in document["paths"].items() for method in item}

    tested = {(method, re.sub(r"{[^}]+}", "x", path)) for _, method, path in NEEDS}
    assert {(method, re.sub(r"{[^}]+}", "x", path)) for method, path in found - OPEN} == tested


@pytest.mark.parametrize("path", ["/v1/parties", "/v1/reports/trial-balance", "/v1/cases"])
def test_operator_belongs_to_no_programme(installation: Installation, path: str) -> None:
    refused(installation.operator.get(path), 403, "scope_missing")


def test_operator_scope_cannot_be_given_to_a_programmes_client(
    installation: Installation, shop: Shop
) -> None:
    with installation.nothing_changes():
        answers = [
            installation.operator.post(f"/v1/programmes/{shop.programme_id}/clients", {"scopes": scopes})
            for scopes in (["operate"], ["payments", "operate"], [], ["payments"] * 4, "payments")
        ]

    for answer in answers:
        problem = refused(answer, 422, "invalid_request")
        assert problem["errors"][0]["field"].startswith("scopes")


def test_client_of_a_programme_that_is_not_there_is_not_made(installation: Installation) -> None:
    with installation.nothing_changes():
        answers = [
            installation.operator.post(f"/v1/programmes/{key}/clients", {"scopes": ["payments"]})
            for key in ("prg_" + "0" * 32, "nothing", "%00", "pty_" + "0" * 32)
        ]

    for answer in answers:
        refused(answer, 404, "not_found")
