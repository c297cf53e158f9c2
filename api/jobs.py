"""What the worker does when it keeps a promise: one method a job, each safe to run twice, late or after a crash.

Every job begins by looking at what the database says, and does only what is left to do. No network call happens
inside a transaction.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from api.handlers.deposits import credit_arrivals
from api.handlers.exports import BANK_ZONE, day_ends_at, wish_for_statement
from api.handlers.parties import rescreen_page
from api.parts import Parts
from api.payee_checks import PayeeChecks
from api.resealing import Resealing
from api.waiting_payouts import WaitingPayouts
from enclave.client import EnclaveRefused
from enclave.notes import key_of_note
from enclave.refusals import RefusalCode
from ledger.core.errors import EvidenceBroken
from ledger.core.ids import NoticeId, PartyId, PayoutId, ProgrammeId, is_id
from ledger.core.payout import UNSETTLED, PayoutTrigger
from ledger.core.statement import Statement
from ledger.evidence.export import build_package, write_package
from ledger.evidence.log import TreeHead, append_leaves, keep_checkpoint
from ledger.flows import checkouts, payout_sending, payouts
from ledger.flows.deposits import Arrival
from ledger.flows.reconcile import import_statements, reconcile
from ledger.store.deposits import accounts_by_iban, activate_virtual_iban, read_virtual_iban
from ledger.store.evidence import latest_checkpoint, read_export, save_export_failed, save_export_ready
from ledger.store.jobs import promise
from ledger.store.notices import lock_unprocessed, mark_processed, unheeded_notices
from ledger.store.parties import read_parties
from ledger.store.payouts import Payout, payouts_in
from ledger.store.programmes import Programme, all_programmes, programmes_at_bank, read_programmes
from ledger.store.rows import Page
from ledger.store.statements import read_statement_request, settle_statement_request
from ledger.store.tx import Tx
from partners.contract import (
    Answer,
    Informational,
    MoneyArrived,
    NoticeMeaning,
    PayoutAdvanced,
    PayoutReturned,
    RequestAdvanced,
    StatementArrived,
    StatementReady,
)
from partners.host.bank import BankHost
from partners.host.sending import MaySend, PayoutSending
from partners.host.triggers import TRIGGERS

CHASED_MAX = 200
TURNS_MAX = 200  # at once; the next time takes up the others
RESCREEN_PAGE = 200
ASKINGS_MAX = 1000  # for one head, while the enclave reads its leaves
SEALINGS_MAX = 1000  # one after another, while there is more to seal than one checkpoint takes
STATEMENT_HOUR = 3  # when the bank has closed the day before, in its own zone
HTTP_REFUSED = range(400, 500)
_log = logging.getLogger("tallystick.jobs")

T = TypeVar("T")
R = TypeVar("R")


class NotYet(Exception):
    """The other side is not ready: the job is tried again a little later."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs, over the same parts as the API."""

    parts: Parts

    # --- money out -------------------------------------------------------------------------------------------

    def dispatch(self) -> int:
        """Sends the payouts that are due, of every bank, so many at once; says how many were looked at.

        Raises: what kept the first bank from being sent to; all others were.
        """
        return sum(self._at_each_bank(self._dispatch_at))

    def _dispatch_at(self, sending: PayoutSending) -> int:
        self._checks.ask_ahead(sending.bank)
        return sending.send_due(self._may_send(sending.bank), sender=self.parts.sender.number)

    def _at_each_bank(self, work: Callable[[PayoutSending], int]) -> list[int]:
        """Does something at every bank, each for itself.

        What was taken up where it failed, and not concluded, is nobody's then: whoever takes over looks at what was
        kept of it.
        """

        def failed(sending: PayoutSending, error: Exception) -> None:
            self.parts.sender.renew()
            name = sending.bank.connection.name
            _log.warning("sending.failed connection=%s error=%s", name, type(error).__name__)

        return _each_for_itself(self.parts.sendings.values(), work, failed=failed)

    def take_over(self) -> None:
        """Goes on with what senders that have died had taken up. Raises: as `dispatch`."""
        with self.parts.transactions() as tx:
            left = payout_sending.take_over(tx, sender=self.parts.sender.number)
            programmes = read_programmes(tx, {payout.programme_id for payout, _ in left})

        def send(sending: PayoutSending) -> int:
            name = sending.bank.connection.name
            here = [item for item in left if programmes[item[0].programme_id].bank_connection == name]
            sending.send(here)
            return len(here)

        self._at_each_bank(send)

    def _may_send(self, bank: BankHost) -> MaySend:
        """Which payouts may be sent: the gate looks once more at what has waited long, and doubtful payees wait."""

        def may_send(tx: Tx, queued: Sequence[Payout]) -> Sequence[Payout]:
            cleared = WaitingPayouts(self.parts.gate).screen_again(tx, queued)
            return self._checks.without_doubts(tx, bank, cleared)

        return may_send

    @property
    def _checks(self) -> PayeeChecks:
        return PayeeChecks(self.parts.transactions, self.parts.policies)

    def enquire(self, payout_id: PayoutId, enquiry: int) -> None:
        """Asks the bank what became of a payout, and promises to ask again while the bank cannot say."""
        bank = self._bank_of(payout_id)
        if bank is not None and not bank.enquire(payout_id, enquiry=enquiry):
            bank.promise_enquiry(payout_id, enquiry)

    def chase(self) -> None:
        """Takes up what no job carries any more: payouts whose end nobody knows, and notices not yet heeded."""
        with self.parts.transactions() as tx:
            unsure = payouts_in(tx, UNSETTLED, limit=CHASED_MAX)
            unheeded = unheeded_notices(tx, limit=CHASED_MAX)
        left_undone = [partial(self._enquire_once, payout.id) for payout in unsure]
        left_undone += [partial(self.process_notice, notice_id) for notice_id in unheeded]
        for take_up in left_undone:
            try:
                take_up()
            except Exception as error:  # noqa: BLE001 - one that cannot be taken up must not keep the others back
                _log.warning("chase.failed job=%s error=%s", take_up.func.__name__, type(error).__name__)

    def _enquire_once(self, payout_id: PayoutId) -> None:
        bank = self._bank_of(payout_id)
        if bank is not None:
            bank.enquire(payout_id)

    def _bank_of(self, payout_id: PayoutId) -> BankHost | None:
        with self.parts.transactions() as tx:
            found = payouts.find(tx, payout_id)
            if found is None:
                return None
            programme = read_programmes(tx, [found.programme_id])[found.programme_id]
        return self.parts.banks[programme.bank_connection]

    def release_due(self) -> None:
        """Queues the payouts whose time has come, in turns, until none is left."""
        for _ in range(TURNS_MAX):
            with self.parts.transactions() as tx:
                if payout_sending.release_due(tx) < payout_sending.DUE_MAX:
                    return

    # --- what banks tell us ----------------------------------------------------------------------------------

    def collect(self) -> None:
        """Takes in the files that banks have left; one bank that cannot be reached keeps no other back."""
        for inbox in self.parts.inboxes:
            try:
                inbox.collect()
            except OSError as failure:
                _log.warning(
                    "collect.failed connection=%s error=%s", inbox.connection, type(failure).__name__
                )

    def process_notice(self, notice_id: NoticeId) -> None:
        """Gives a kept notice its effect, once, in one transaction."""
        with self.parts.transactions() as tx:
            waiting = lock_unprocessed(tx, notice_id)
            if waiting is None:
                return
            connection, body = waiting
            self._heed(tx, connection, notice_id, body)
            mark_processed(tx, notice_id)

    def _heed(self, tx: Tx, connection: str, notice_id: NoticeId, body: bytes) -> None:
        for meaning in self.parts.banks[connection].read(body).meanings:
            self._take_in(tx, connection, notice_id, meaning, body)

    def _take_in(
        self, tx: Tx, connection: str, notice_id: NoticeId, meaning: NoticeMeaning, body: bytes
    ) -> None:
        match meaning:
            case MoneyArrived() as arrived if self._is_own_money(tx, connection, arrived):
                pass
            case MoneyArrived() as arrived:
                credit_arrivals(tx, self.parts.gate, [self._arrival(tx, connection, notice_id, arrived)])
            case PayoutAdvanced() as news:
                reason = str(news.reason) if news.reason else ""
                word = payouts.News(
                    news.end_to_end_id, TRIGGERS[news.state], notice_id, news.transaction_id, reason
                )
                payouts.learn(tx, [word])
            case RequestAdvanced() as news:
                self._advance_request(tx, notice_id, news)
            case PayoutReturned() as news:
                word = payouts.News(
                    news.end_to_end_id,
                    PayoutTrigger.RETURN,
                    notice_id,
                    news.transaction_id,
                    str(news.reason),
                    news.amount_minor,
                )
                payouts.learn(tx, [word])
            case StatementReady(message_id, pages):
                promise(tx, "fetch_statement", connection=connection, message_id=message_id, pages=pages)
            case StatementArrived(statements):
                self._import(tx, connection, statements, document=body)
            case Informational():
                pass

    def _advance_request(self, tx: Tx, notice_id: NoticeId, news: RequestAdvanced) -> None:
        """Moves on the payout that a request ordered; a request that we never made is a bank's error, and no news."""
        ordered = payouts.find(tx, PayoutId(news.request_id)) if is_id("pay", news.request_id) else None
        if ordered is None:
            _log.warning("notice.foreign_request notice_id=%s", notice_id)
            return
        reason = str(news.reason) if news.reason else ""
        word = payouts.News(ordered.end_to_end_id, TRIGGERS[news.state], notice_id, None, reason)
        payouts.learn(tx, [word])

    def _is_own_money(self, tx: Tx, connection: str, arrived: MoneyArrived) -> bool:
        """Whether an IBAN is an operating account: a sweep books what arrives there; the rest is reconciliation's."""
        return any(
            programme.operating_iban in _ibans(arrived) for programme in programmes_at_bank(tx, connection)
        )

    def _arrival(self, tx: Tx, connection: str, notice_id: NoticeId, arrived: MoneyArrived) -> Arrival:
        return Arrival(
            notice_id=notice_id,
            programme_id=self._receiver(tx, connection, arrived),
            transaction_id=arrived.transaction_id,
            end_to_end_id=arrived.end_to_end_id,
            amount_minor=arrived.amount_minor,
            currency=arrived.currency,
            creditor_iban=arrived.creditor_iban,
            debtor_name=arrived.debtor_name,
            debtor_iban=arrived.debtor_iban,
            remittance=arrived.remittance,
        )

    def _receiver(self, tx: Tx, connection: str, arrived: MoneyArrived) -> ProgrammeId:
        """Whose money arrived on an IBAN; an IBAN that nobody here knows belongs to the bank's only programme of ours.

        A bank speaks of its own accounts: what it says of another bank's is as if nobody knew the IBAN.
        """
        iban = arrived.creditor_iban
        owner = accounts_by_iban(tx, {iban}).get(iban)
        here = programmes_at_bank(tx, connection)
        if owner is not None and owner[0] in {programme.id for programme in here}:
            return owner[0]
        named = [programme for programme in here if programme.safeguarding_iban in _ibans(arrived)] or here
        if len(named) != 1:
            raise NotYet(f"money arrived on {iban[:4]}…{iban[-4:]}, which no programme of {connection} knows")
        return named[0].id

    # --- IBANs -----------------------------------------------------------------------------------------------

    def open_virtual_iban(self, virtual_iban_id: str) -> None:
        """Asks the bank for the IBAN of a wallet."""
        with self.parts.transactions() as tx:
            wish = read_virtual_iban(tx, virtual_iban_id)
            if wish is None or wish.state != "requested" or wish.party_id is None:
                return
            programme = read_programmes(tx, [wish.programme_id])[wish.programme_id]
            owner = read_parties(tx, [wish.party_id])[wish.party_id].name
        bank = self.parts.banks[programme.bank_connection]
        given = bank.open_virtual_iban(account_id=programme.safeguarding_bank_id, owner=owner)
        with self.parts.transactions() as tx:
            activate_virtual_iban(tx, virtual_iban_id, iban=given.iban, bank_id=given.bank_id)

    # --- statements ------------------------------------------------------------------------------------------

    def ask_statement(self, statement_request_id: str) -> None:
        """Asks the bank for the statements of a day; a notice says when they are ready."""
        with self.parts.transactions() as tx:
            wish = read_statement_request(tx, statement_request_id)
            if wish is None or wish.state == "imported":
                return
            programme = read_programmes(tx, [wish.programme_id])[wish.programme_id]
        bank = self.parts.banks[programme.bank_connection]
        answer = bank.request_statements(starts_at=wish.starts_at, ends_at=wish.ends_at)
        if answer is None:
            return  # the wish is fulfilled by the statement that the bank sends anyway
        if not isinstance(answer, Answer):
            raise NotYet("the bank did not answer")
        if answer.status in HTTP_REFUSED:
            with self.parts.transactions() as tx:
                detail = f"the bank refused: {answer.body[:200].decode(errors='replace')}"
                settle_statement_request(tx, wish.id, state="failed", detail=detail)

    def fetch_statement(self, connection: str, message_id: str, pages: int) -> None:
        """Fetches a ready statement, keeps it for every programme whose account it covers, and reconciles."""
        bank = self.parts.banks[connection]
        documents = [bank.fetch_statement_page(message_id, page) for page in range(1, pages + 1)]
        found = bank.adapter.parse_statement(documents[0], *documents[1:])
        with self.parts.transactions() as tx:
            self._import(tx, connection, found, document=b"".join(documents))

    def _import(self, tx: Tx, connection: str, found: Sequence[Statement], *, document: bytes) -> None:
        """Keeps statements for every programme whose account they cover, and reconciles."""
        for programme in programmes_at_bank(tx, connection):
            if covers(programme, found):
                import_statements(tx, programme, found, document=document)
                reconcile(tx, programme.id)

    def ask_for_yesterday(self) -> None:
        """Wishes for the statements of the bank's last whole day, for every programme that it knew then."""
        with self.parts.transactions() as tx:
            here = tx.now.astimezone(BANK_ZONE)
            if here.hour < STATEMENT_HOUR:
                return
            yesterday = here.date() - timedelta(days=1)
            for programme in all_programmes(tx, founded_before=day_ends_at(yesterday)):
                wish_for_statement(tx, programme.id, yesterday)

    # --- who we serve -------------------------------------------------------------------------------------

    def rescreen(self, programme_id: ProgrammeId) -> None:
        """Screens every active party of a programme anew, page by page, each page in its own transaction."""
        after: PartyId | None = None
        while True:
            with self.parts.transactions() as tx:
                after = rescreen_page(tx, self.parts.gate, programme_id, Page(after, RESCREEN_PAGE))
            if after is None:
                return

    # --- cards -----------------------------------------------------------------------------------------------

    def reseal_cards(self) -> None:
        """Seals every card under the enclave's current key, page by page, until none is left under another.

        Raises: NotYet when the enclave would not open some of them: all others are done.
        """
        resealing = Resealing(self.parts.enclave, self.parts.transactions)
        resealing.run()
        if resealing.refused:
            raise NotYet(f"{len(resealing.refused)} cards would not open")

    def promise_resealing(self) -> None:
        """Promises `reseal_cards` in any case: a rotation may have been taken in without anybody's saying so."""
        with self.parts.transactions() as tx:
            promise(tx, "reseal_cards")

    # --- the book's own housekeeping -------------------------------------------------------------------------

    def expire_holds(self) -> None:
        """Gives back what is left of holds whose time has passed."""
        with self.parts.transactions() as tx:
            checkouts.expire(tx)

    def seal_checkpoints(self) -> None:
        """Seals every programme's new facts under a signed checkpoint, each for itself.

        Raises: what kept the first from being sealed that was not; all others are done.
        """
        with self.parts.transactions() as tx:
            programmes = all_programmes(tx)

        def failed(programme: Programme, error: Exception) -> None:
            _log.warning("seal.failed programme_id=%s error=%s", programme.id, type(error).__name__)

        _each_for_itself(programmes, self.seal, failed=failed)

    def seal(self, programme: Programme) -> tuple[TreeHead, str]:
        """Appends a programme's new facts to its log and has the head signed, between two transactions.

        A head that was appended before and never signed is signed first; then the log goes on from it.
        """
        for _ in range(SEALINGS_MAX):
            head, note = self._seal_once(programme)
            if not head.more:
                break
        return head, note

    def _seal_once(self, programme: Programme) -> tuple[TreeHead, str]:
        with self.parts.transactions() as tx:
            head = append_leaves(tx, programme.id)
            latest = latest_checkpoint(tx, programme.id)
        if latest is not None and latest.size == head.size:
            return head, latest.note
        note = self._sign_head(programme, head)
        with self.parts.transactions() as tx:
            keep_checkpoint(tx, programme.id, head, note)
        return head, note

    def _sign_head(self, programme: Programme, head: TreeHead) -> str:
        """Has a head signed. The enclave reads the leaves itself, so many at a time: then it is asked again."""
        for _ in range(ASKINGS_MAX):
            try:
                return self.parts.enclave.checkpoint(
                    origin=origin(programme.name), size=head.size, root=head.root
                ).note
            except EnclaveRefused as refused:
                if refused.code != RefusalCode.CHECKPOINT_GROWING:
                    # Mostly another worker has had a larger head signed meanwhile: the job is done again over that one.
                    raise NotYet(
                        f"the enclave would not sign a head of {head.size}: {refused.code}"
                    ) from refused
        raise NotYet(f"the enclave has not read all leaves of a head of {head.size} yet")

    def make_export(self, programme_id: ProgrammeId, export_id: str) -> None:
        """Seals the book, writes its audit package, and has the package's manifest signed."""
        with self.parts.transactions() as tx:
            wish = read_export(tx, programme_id, export_id)
            programme = read_programmes(tx, [programme_id])[programme_id]
        if wish is None or wish.state != "requested":
            return
        try:
            directory = self._write_export(programme, export_id)
        except EvidenceBroken as broken:
            with self.parts.transactions() as tx:
                save_export_failed(tx, export_id, detail=broken.detail)
            return
        with self.parts.transactions() as tx:
            save_export_ready(tx, export_id, directory=str(directory))

    def _write_export(self, programme: Programme, export_id: str) -> Path:
        directory = self.parts.settings.exports_directory / export_id
        if directory.exists():
            return directory  # a package appears whole or not at all: we stopped right after writing this one
        head, note = self.seal(programme)
        # The head may have been sealed before the key was rotated.
        pems = [key.pem for key in self.parts.enclave.key_versions("checkpoint")]
        checkpoint_pem = key_of_note(note, origin(programme.name), pems)
        with self.parts.snapshots() as tx:
            files = build_package(
                tx, programme, head, note, created_at=tx.now, checkpoint_key_pem=checkpoint_pem
            )
        signature = self.parts.enclave.export(manifest=files["manifest.json"]).signature
        directory.parent.mkdir(parents=True, exist_ok=True)
        write_package(directory, files, signature)
        return directory


def _ibans(arrived: MoneyArrived) -> set[str]:
    """Where money is, by all that the bank says of it."""
    return {arrived.creditor_iban, arrived.account_iban or arrived.creditor_iban}


def origin(programme_name: str) -> str:
    """The name under which a programme's log is sealed."""
    return f"tallystick.dev/{programme_name}"


def _each_for_itself(
    items: Iterable[T], work: Callable[[T], R], *, failed: Callable[[T, Exception], None]
) -> list[R]:
    """Does something with each item; one that fails keeps no other back.

    Raises: the first failure, when all are done.
    """
    done, failures = [], []
    for item in items:
        try:
            done.append(work(item))
        except Exception as error:  # noqa: BLE001 - it is raised again below
            failed(item, error)
            failures.append(error)
    if failures:
        raise failures[0]
    return done


def covers(programme: Programme, statements: Sequence[Statement]) -> bool:
    """Whether a document holds a statement of one of the programme's own accounts."""
    return any(item.iban in {programme.safeguarding_iban, programme.operating_iban} for item in statements)
