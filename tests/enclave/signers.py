"""Signers over a log on the disk, with what a test says nothing of left out or at its mildest."""

from collections.abc import Callable, Mapping
from datetime import datetime

from enclave.approvals import Approver
from enclave.card_vault import Recipient
from enclave.facts import PayoutFacts
from enclave.keyring import Keyring
from enclave.leaves import Leaves
from enclave.logbook import Logbook
from enclave.mirror import Mirror
from enclave.policy import Conditions, Limits
from enclave.signer import Signer
from tests.enclave.logs import ListedLogs
from tests.enclave.payouts import MemoryFacts


def signer_on(  # what a signer works with, each by its name
    logbook: Logbook,
    *,
    keyring: Keyring,
    clock: Callable[[], datetime],
    facts: PayoutFacts | None = None,
    leaves: Leaves | None = None,
    limits: Limits | None = None,
    conditions: Conditions | None = None,
    approvers: Callable[[], Mapping[str, Approver]] = dict,
    mirror: Mirror | None = None,
    recipients: Mapping[str, Recipient] | None = None,
) -> Signer:
    return Signer(
        keyring=keyring,
        facts=facts or MemoryFacts({}),
        leaves=leaves or ListedLogs(),
        logbook=logbook,
        clock=clock,
        limits=limits or Limits(),
        conditions=conditions or Conditions(),
        approvers=approvers,
        mirror=mirror,
        recipients=recipients,
    )
