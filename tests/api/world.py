"""A shop: one programme with a client, a payer with a device and money, a hotel, and a creator."""

import base64
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.bank_desk import OpenedAccount
from tests.api.installation import Installation
from tests.api.promises import keep_promises
from tests.api.talk import Json, Session

HOTEL_IBAN = "ES9121000418450200051332"
LEA_IBAN = "AT611904300234573201"
LISTED = "Viktor Anatolyevich Zubarov"
LIST = 'entry,name\nD-1,"ZUBAROV, Viktor A."\n'
SCOPES = ["payments", "compliance", "reports"]


@dataclass(frozen=True, slots=True)
class Shop:
    """One programme and its people. `ana` pays, the `hotel` sells, `lea` brought the customer."""

    at: Installation
    programme_id: str
    name: str
    client_id: str
    secret: str
    api: Session
    safeguarding: OpenedAccount
    operating: OpenedAccount
    ana: Json
    hotel: Json
    lea: Json
    device: ec.EllipticCurvePrivateKey

    def account(self, party: Json) -> Json:
        return self.api.read(f"/v1/accounts/{party['account_id']}")

    def balance(self, party: Json) -> int:
        posted: int = self.account(party)["posted_minor"]
        return posted

    def available(self, party: Json) -> int:
        available: int = self.account(party)["available_minor"]
        return available

    def open_iban(self) -> Json:
        """A virtual IBAN for Ana's wallet, given by the bank."""
        wish = self.api.make("/v1/virtual-ibans", {"party_id": self.ana["id"]})
        keep_promises(self.at.parts)
        return self.api.read(f"/v1/virtual-ibans/{wish['id']}")

    def fund(self, amount_minor: int) -> "Shop":
        """Money from Ana's own bank into her wallet."""
        self.at.hear(self.at.bank.pay_in(self.open_iban()["iban"], amount_minor))
        return self

    def line(self, amount_minor: int, **changes: Any) -> Json:
        """One line of the hotel's, which Lea and the platform share in."""
        whole = {
            "id": "room",
            "seller": self.hotel["id"],
            "quantity": 1,
            "unit_minor": amount_minor,
            "amount_minor": amount_minor,
            "splits": [
                {"to": "platform", "bps": 1200},
                {"to": self.lea["id"], "bps": 500},
                {"to": self.hotel["id"], "remainder": True},
            ],
        }
        return whole | changes

    def cart(self, amount_minor: int = 2_000, **changes: Any) -> Json:
        """A cart with one line."""
        whole = {
            "payer": self.ana["id"],
            "reference": f"cart-{secrets.token_hex(6)}",
            "currency": "EUR",
            "amount_minor": amount_minor,
            "lines": [self.line(amount_minor)],
        }
        return whole | changes

    def authorised(self, amount_minor: int = 2_000, **changes: Any) -> Json:
        """A cart that needs no authentication, authorised."""
        checkout = self.api.make("/v1/checkouts", self.cart(amount_minor, **changes))
        assert checkout["state"] == "authorised"
        return checkout

    def captured(self, amount_minor: int = 2_000) -> Json:
        """A cart that was captured whole."""
        checkout = self.authorised(amount_minor)
        self.api.make(f"/v1/checkouts/{checkout['id']}/captures", part(amount_minor))
        return checkout

    def payout(self, amount_minor: int = 100, **changes: Any) -> Json:
        """An order to pay the hotel out."""
        whole = {
            "party_id": self.hotel["id"],
            "reference": f"payout-{secrets.token_hex(6)}",
            "amount_minor": amount_minor,
            "currency": "EUR",
            "rail": "SCT_INST",
            "remittance": "November stays",
        }
        return whole | changes

    def sweep(self, amount_minor: int = 100, **changes: Any) -> Json:
        """An order to sweep the commission home."""
        whole = {
            "reference": f"sweep-{secrets.token_hex(6)}",
            "amount_minor": amount_minor,
            "currency": "EUR",
        }
        return whole | changes

    def sign(self, challenge: str) -> Json:
        """What Ana's device answers to a challenge."""
        signature = self.device.sign(challenge.encode("ascii"), ec.ECDSA(hashes.SHA256()))
        return {"signature": base64.b64encode(signature).decode()}


def part(amount_minor: int, *, final: bool | None = None, line: str = "room") -> Json:
    """A capture or a refund of one line."""
    return {
        "lines": [{"id": line, "amount_minor": amount_minor} | ({} if final is None else {"final": final})]
    }


def programme_body(safeguarding: OpenedAccount, operating: OpenedAccount, **changes: Any) -> Json:
    """A programme to be founded."""
    whole = {
        "name": f"pay-{secrets.token_hex(6)}",
        "legal_name": "Pay EU B.V.",
        "bank_connection": "sandbox",
        "safeguarding": {"bank_id": safeguarding.bank_id, "iban": safeguarding.iban},
        "operating": {"bank_id": operating.bank_id, "iban": operating.iban},
        "currency": "EUR",
    }
    return whole | changes


def open_shop(at: Installation, **changes: Any) -> Shop:
    """A new programme at the bank, with its people; nobody has money yet."""
    safeguarding = at.bank.open_account("GeneralSegregated", "safeguarding")
    operating = at.bank.open_account("YourFunds", "operating")
    founded = at.operator.make("/v1/programmes", programme_body(safeguarding, operating, **changes))
    client = at.operator.make(f"/v1/programmes/{founded['id']}/clients", {"scopes": SCOPES})
    api = at.session(client["client_id"], client["client_secret"])
    api.make("/v1/sanctions-lists", {"name": "list", "legal_basis": "national", "csv": LIST})
    ana = api.make("/v1/parties", {"role": "customer", "name": "Ana Moreau", "reference": "ana"})
    hotel = api.make(
        "/v1/parties",
        {
            "role": "merchant",
            "name": "Hotel Mirador SL",
            "reference": "hotel",
            "commission_bps": 1200,
            "payout_iban": HOTEL_IBAN,
        },
    )
    lea = api.make(
        "/v1/parties",
        {"role": "creator", "name": "Lea Brandt", "reference": "lea", "payout_iban": LEA_IBAN},
    )
    device = ec.generate_private_key(ec.SECP256R1())
    api.make(f"/v1/parties/{ana['id']}/authenticators", {"public_key_pem": public_pem(device)})
    return Shop(
        at=at,
        programme_id=founded["id"],
        name=founded["name"],
        client_id=client["client_id"],
        secret=client["client_secret"],
        api=api,
        safeguarding=safeguarding,
        operating=operating,
        ana=ana,
        hotel=hotel,
        lea=lea,
        device=device,
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A device's public key, as it is enrolled."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
