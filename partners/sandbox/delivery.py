"""Delivering webhooks: in the order in which they were made, again and again until the client acknowledges.

An acknowledgement is HTTP 200 within five seconds whose JSON body repeats the nonce and whose
DigitalSignature, over the exact bytes of that body, is by a registered client key. A webhook that fails waits
for its next attempt without holding back those behind it.

Source: ClearBank EU, "Webhooks" (answer, retries, headers).
"""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

import httpx

from partners.sandbox import faults
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp, wall_now
from partners.sandbox.records import Facts, FaultKind, Webhook, WebhookState
from partners.sandbox.signing import verify
from partners.sandbox.store import clients, webhooks
from partners.sandbox.store.database import Tx, begin, read_setting

WEBHOOK_URL = "webhook_url"
BATCH_MAX = 100
ANSWER_BYTES_MAX = 100_000


class Failure(StrEnum):
    """Why an attempt failed, in the words of the header x-retry-reason."""

    CONNECTION = "Connection"
    TIMEOUT = "Timeout"
    HTTP = "HTTP"
    FORMAT = "Payload / Response Format"
    SIGNATURE = "Non-repudiation"


async def deliver_due(bank: Bank, http: httpx.AsyncClient) -> int:
    """Try every webhook whose time has come once; how many there were."""
    url = read_setting(bank.books, WEBHOOK_URL)
    if url is None or not clients.list_client_keys(bank.books):
        return 0
    due = webhooks.list_due(bank.books, now=stamp(wall_now()), limit=BATCH_MAX)
    for webhook in due:
        failure = await _attempt(bank, http, url, webhook)
        with begin(bank.books) as tx:
            webhooks.save_attempt(tx, _after_attempt(bank, webhook, failure))
            if failure is None:
                _follow_up(tx, webhook)
    return len(due)


def _follow_up(tx: Tx, delivered: Webhook) -> None:
    """A webhook that has arrived lets go what was held back for it, and may come again byte for byte."""
    now = stamp(wall_now())
    webhooks.hurry_held_back(tx, delivered, now=now)
    if faults.take(tx, FaultKind.REPLAYED_WEBHOOK, _facts(delivered)) is not None:
        webhooks.insert_webhook(
            tx, replace(delivered, attempts=0, last_failure=None, created_at=now, next_attempt_at=now)
        )


def _facts(webhook: Webhook) -> Facts:
    return Facts(
        end_to_end_id=webhook.end_to_end_id, creditor_iban=webhook.creditor_iban, webhook_type=webhook.type
    )


async def _attempt(bank: Bank, http: httpx.AsyncClient, url: str, webhook: Webhook) -> Failure | None:
    content = webhook.body.encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "DigitalSignature": _signature(bank, webhook, content),
        "x-delivery-attempt": str(webhook.attempts + 1),
    }
    if webhook.last_failure is not None:
        headers["x-retry-reason"] = webhook.last_failure
    try:
        async with asyncio.timeout(bank.settings.webhook_answer_s):
            answer = await http.post(url, content=content, headers=headers)
    except TimeoutError:
        return Failure.TIMEOUT
    except (httpx.TransportError, httpx.InvalidURL):
        return Failure.CONNECTION
    return _judge(bank, webhook, answer)


def _judge(bank: Bank, webhook: Webhook, answer: httpx.Response) -> Failure | None:
    if answer.status_code != httpx.codes.OK:
        return Failure.HTTP
    if len(answer.content) > ANSWER_BYTES_MAX or _nonce_in(answer.content) != webhook.nonce:
        return Failure.FORMAT
    signature = answer.headers.get("DigitalSignature", "")
    keys = clients.list_client_keys(bank.books)
    return None if any(verify(key, answer.content, signature) for key in keys) else Failure.SIGNATURE


def _nonce_in(content: bytes) -> int | None:
    """The repeated nonce; the bank's pages spell its name with and without a capital."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    nonce = body.get("Nonce", body.get("nonce")) if isinstance(body, dict) else None
    return nonce if type(nonce) is int else None


def _signature(bank: Bank, webhook: Webhook, content: bytes) -> str:
    facts = _facts(webhook)
    with begin(bank.books) as tx:
        is_forged = faults.take(tx, FaultKind.BAD_SIGNATURE, facts) is not None
        is_strange = not is_forged and faults.take(tx, FaultKind.WRONG_KEY, facts) is not None
    if is_strange:
        return bank.keys.stranger.sign(content)
    return bank.keys.current.sign(content + b" " if is_forged else content)


def _after_attempt(bank: Bank, webhook: Webhook, failure: Failure | None) -> Webhook:
    now = wall_now()
    attempts = webhook.attempts + 1
    if failure is None:
        return replace(webhook, attempts=attempts, state=WebhookState.DELIVERED, delivered_at=stamp(now))
    is_last = attempts >= bank.settings.webhook_attempts_max
    return replace(
        webhook,
        attempts=attempts,
        state=WebhookState.GIVEN_UP if is_last else WebhookState.PENDING,
        last_failure=failure,
        next_attempt_at=stamp(now + timedelta(seconds=bank.settings.webhook_retry_s)),
    )
