"""The bank's onboarding desk, in development: opens a programme's accounts at the sandbox bank through its own API."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from enclave.client import EnclaveClient


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """An account at the bank."""

    bank_id: str
    iban: str


def open_account(
    *, bank_url: str, token: str, enclave_socket: Path, label: str, owner: str, kind: str
) -> OpenedAccount:
    """Opens one real account, with a request signed in the enclave."""
    order = {
        "label": label,
        "owner": owner,
        "kind": kind,
        "currencies": ["EUR"],
        "bankIdentifierCode": "CLRBNL2AXXX",
    }
    body = json.dumps(order, separators=(",", ":")).encode()
    with EnclaveClient(enclave_socket) as enclave:
        signature = enclave.bank_message(profile="clearbank.account", body=body).signature_base64
    headers = {
        "Authorization": f"Bearer {token}",
        "DigitalSignature": signature,
        "X-Request-Id": secrets.token_hex(16),
        "Content-Type": "application/json",
    }
    answer = httpx.post(f"{bank_url}/mccy/v2/Accounts", content=body, headers=headers, trust_env=False)
    account: Mapping[str, Any] = answer.raise_for_status().json()
    iban = next(item["identifier"] for item in account["identifiers"] if item["kind"].upper() == "IBAN")
    return OpenedAccount(account["id"], iban)
