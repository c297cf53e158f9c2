"""`tallystick demo`: plays the worked example through the public API, the worker and the bank's own webhooks.

There is no short cut into the database: whatever is shown was read back through the API, and whatever the bank did was
ordered at the bank's own desk. Every figure is compared with the worked example; one that differs fails the demo.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table

from api.bank_desk import OpenedAccount, open_account
from api.caller import ApiCaller, CallFailed, NotInTime, until
from api.operations import as_csv
from api.stack import Stack, wipe

STORY = Path(__file__).parent / "story" / "universal_cart.json"
WAIT_S = 30.0
COUNTS = {"open breaks", "unmatched ledger movements", "bank orders sent more than once"}
Json = dict[str, Any]


class DemoFailed(Exception):
    """A step failed or a figure differs."""


def play(home: Path) -> None:
    """Plays the story in a fresh installation under `home`; writes `summary.json` there.

    Raises: DemoFailed, naming every figure that differs.
    """
    console = Console(highlight=False)
    story = json.loads(STORY.read_text())
    begun = time.monotonic()
    wipe(home)
    stack = Stack(home, clock="test", say=lambda part: console.print(f"  [dim]starting {part}[/]"))
    console.print("[bold]Tallystick[/] plays one Universal Cart order, from money in to audited books\n")
    stack.start()
    try:
        teller = Teller(stack, story, console)
        teller.tell()
        summary = teller.summary(time.monotonic() - begun)
    except (CallFailed, NotInTime, httpx.HTTPError) as error:
        raise DemoFailed(f"{error} (logs: {home / 'logs'})") from error
    finally:
        stack.stop()
    _write(home / "summary.json", summary)
    _show(console, story["expected"], summary["measured"])
    console.print(
        f"\nsummary  {home / 'summary.json'}\nexport   {summary['export']}\nkey      {summary['public_key']}"
    )
    if summary["differences"]:
        raise DemoFailed("these figures differ: " + "; ".join(summary["differences"]))
    console.print(f"\n[bold green]Every figure came out, to the cent[/], in {summary['took_s']:.0f} s.")


class Teller:
    """Tells the story step by step and notes what was measured."""

    def __init__(self, stack: Stack, story: Json, console: Console) -> None:
        self._stack = stack
        self._story = story
        self._console = console
        self._bank = httpx.Client(base_url=stack.bank_url, trust_env=False, timeout=30)
        name, secret = stack.operator()
        self._operator = ApiCaller(stack.api_url, client_id=name, secret=secret)
        self._pay: ApiCaller
        self._parties: dict[str, Json] = {}
        self._names: dict[str, str] = {}
        self._measured: Json = {}
        self._device = ec.generate_private_key(ec.SECP256R1())
        self._reports = stack.home / "reports"
        self._package = stack.home / "export"

    def tell(self) -> None:
        """Every step, in order."""
        first, second, third = self._story["business_days"]
        self._turn_to(first)
        self._found()
        self._onboard()
        self._receive_deposit()
        checkout = self._check_out()
        self._capture_first(checkout)
        self._turn_to(second)
        self._capture_rooms(checkout)
        self._refund(checkout)
        self._measured["balance_before_payouts"] = self._balances()
        payouts = self._pay_out()
        self._turn_to(third)
        self._return(payouts)
        self._sweep()
        self._charge_fee()
        self._measured["balances_after_payouts"] = self._balances_after()
        self._turn_to("2026-11-19", hour=6)
        self._reconcile([first, second, third])
        self._count_orders()
        self._export()

    def summary(self, took_s: float) -> Json:
        """What was measured, what was expected, and where the files are."""
        for caller in (self._operator, self._pay, self._bank):
            caller.close()
        expected = self._story["expected"]
        measured = {key: self._measured[key] for key in expected}
        return {
            "measured": measured,
            "expected": expected,
            "differences": differences(expected, measured),
            "export": str(self._package),
            "reports": {path.stem: str(path) for path in sorted(self._reports.iterdir())},
            "public_key": str(self._stack.public_keys / "report-v1.pem"),
            "took_s": round(took_s, 1),
        }

    # --- the steps -----------------------------------------------------------------------------------------------

    def _step(self, text: str) -> None:
        self._console.print(f"  [green]•[/] {text}")

    def _turn_to(self, day: str, hour: int = 9) -> None:
        now = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC).isoformat()
        self._bank.post("/sandbox/clock", json={"now": now}).raise_for_status()
        self._operator.post("/v1/test-clock", {"now": now})
        self._console.print(f"\n[bold]{day}[/]")

    def _found(self) -> None:
        programme = self._story["programme"]
        safeguarding, operating = (
            self._open_at_bank(kind, f"{programme['name']} {label}")
            for kind, label in (("GeneralSegregated", "safeguarding"), ("YourFunds", "operating"))
        )
        founded = self._operator.post(
            "/v1/programmes",
            {
                "name": programme["name"],
                "legal_name": programme["legal_name"],
                "bank_connection": "sandbox",
                "safeguarding": {"bank_id": safeguarding.bank_id, "iban": safeguarding.iban},
                "operating": {"bank_id": operating.bank_id, "iban": operating.iban},
                "currency": self._story["currency"],
            },
        )
        scopes = {"scopes": ["payments", "compliance", "reports"]}
        client = self._operator.post(f"/v1/programmes/{founded['id']}/clients", scopes)
        self._pay = ApiCaller(
            self._stack.api_url, client_id=client["client_id"], secret=client["client_secret"]
        )
        self._safeguarding = safeguarding
        self._step(f"programme {programme['name']} founded, safeguarding account {safeguarding.iban}")

    def _open_at_bank(self, kind: str, label: str) -> OpenedAccount:
        return open_account(
            bank_url=self._stack.bank_url,
            token=(self._stack.home / "bank-token").read_text(),
            enclave_socket=Path(os.path.relpath(self._stack.home / "enclave.sock")),
            label=label,
            owner=self._story["programme"]["legal_name"],
            kind=kind,
        )

    def _onboard(self) -> None:
        listed = self._story["sanctions_list"]
        rows = "".join(f'{entry},"{name}"\n' for entry, name in listed["entries"])
        body = {"name": listed["name"], "legal_basis": listed["legal_basis"], "csv": "entry,name\n" + rows}
        self._pay.post("/v1/sanctions-lists", body)
        for key, party in self._story["parties"].items():
            made = self._pay.post("/v1/parties", {**party, "reference": key})
            self._parties[key] = made
            self._names[made["id"]] = key
        blocked = self._parties["blocked"]
        if blocked["status"] != "held" or blocked["account_id"] is not None:
            raise DemoFailed("the listed name passed the gate")
        pem = self._device.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        ana = self._parties["ana"]["id"]
        self._pay.post(f"/v1/parties/{ana}/authenticators", {"public_key_pem": pem.decode()})
        self._step(f"five parties onboarded; one held by the gate: {blocked['findings'][0]['detail']}")

    def _receive_deposit(self) -> None:
        deposit = self._story["deposit"]
        owner = self._parties[deposit["to"]]
        wish = self._pay.post("/v1/virtual-ibans", {"party_id": owner["id"]})

        def active() -> str | None:
            iban: str | None = self._pay.get(f"/v1/virtual-ibans/{wish['id']}")["iban"]
            return iban

        iban = until("the virtual IBAN", active, within_s=WAIT_S)
        order = {
            "creditorIban": iban,
            "endToEndId": "ANA-TOPUP-1",
            "reference": deposit["reference"],
            "debtorName": deposit["debtor_name"],
            "debtorIban": deposit["debtor_iban"],
            "debtorBic": deposit["debtor_bic"],
        }
        self._at_the_bank("/sandbox/inbound", order, amount_minor=deposit["amount_minor"])

        def credited() -> bool | None:
            balance = self._account(owner["account_id"])["available_minor"]
            return True if balance == deposit["amount_minor"] else None

        until("the deposit", credited, within_s=WAIT_S)
        self._step(f"{_euro(deposit['amount_minor'])} from Ana's bank to {iban}, credited to her wallet")

    def _at_the_bank(self, path: str, order: Mapping[str, str], *, amount_minor: int) -> None:
        """Orders something at the bank's desk, whose amounts are JSON numbers in euros: written, never computed."""
        amount = f"{amount_minor // 100}.{amount_minor % 100:02d}"
        content = json.dumps(order)[:-1] + f', "amount": {amount}}}'
        headers = {"Content-Type": "application/json"}
        self._bank.post(path, content=content, headers=headers).raise_for_status()

    def _check_out(self) -> Json:
        cart = self._story["checkout"]
        lines = [
            {
                **line,
                "seller": self._parties[line["seller"]]["id"],
                "splits": [{**split, "to": self._receiver(split["to"])} for split in line["splits"]],
            }
            for line in cart["lines"]
        ]
        body = {
            "payer": self._parties[cart["payer"]]["id"],
            "reference": "cart-1",
            "currency": self._story["currency"],
            "amount_minor": cart["amount_minor"],
            "lines": lines,
        }
        asked = self._pay.post("/v1/checkouts", body)
        if asked["state"] != "requires_authentication":
            raise DemoFailed("a cart above EUR 30 went through without authentication")
        challenge = asked["next_action"]["challenge"]
        signature = self._device.sign(challenge.encode("ascii"), ec.ECDSA(hashes.SHA256()))
        answered = {"signature": base64.b64encode(signature).decode()}
        authorised = self._pay.post(f"/v1/checkouts/{asked['id']}/authentication", answered)
        if authorised["state"] != "authorised":
            raise DemoFailed(f"the cart is {authorised['state']}")
        self._step(
            f"one cart, three sellers, {_euro(cart['amount_minor'])} authorised after Ana's device signed it"
        )
        return authorised

    def _receiver(self, name: str) -> str:
        return name if name == "platform" else str(self._parties[name]["id"])

    def _capture_first(self, checkout: Json) -> None:
        done = self._pay.post(
            f"/v1/checkouts/{checkout['id']}/captures", {"lines": self._story["first_capture"]}
        )
        self._note_splits(done)
        self._step(f"'shirts' and 'sound' captured, {_euro(done['amount_minor'])}")

    def _capture_rooms(self, checkout: Json) -> None:
        done = self._pay.post(
            f"/v1/checkouts/{checkout['id']}/captures", {"lines": self._story["second_capture"]}
        )
        self._note_splits(done)
        given_back = sum(line["released_minor"] for line in done["lines"])
        self._step(
            f"'rooms' captured for {_euro(done['amount_minor'])}, {_euro(given_back)} given back to Ana"
        )

    def _refund(self, checkout: Json) -> None:
        done = self._pay.post(f"/v1/checkouts/{checkout['id']}/refunds", {"lines": self._story["refund"]})
        self._measured["splits"]["refund_one_shirt"] = self._shares(done["lines"][0])
        self._step(
            f"one shirt refunded, {_euro(done['amount_minor'])} taken back from everyone who shared in it"
        )

    def _note_splits(self, done: Json) -> None:
        splits = self._measured.setdefault("splits", {})
        splits.update({line["id"]: self._shares(line) for line in done["lines"]})

    def _shares(self, line: Json) -> dict[str, int]:
        return {self._names.get(split["to"], split["to"]): split["amount_minor"] for split in line["splits"]}

    def _pay_out(self) -> dict[str, Json]:
        orders: dict[str, Json] = {}
        for wanted in self._story["payouts"]:
            if wanted.get("answer_lost"):
                match = {"creditorIban": self._parties[wanted["to"]]["payout_iban"]}
                fault = {"kind": "lost_answer", "match": match, "times": 1}
                self._bank.post("/sandbox/faults", json=fault).raise_for_status()
            body = {
                "party_id": self._parties[wanted["to"]]["id"],
                "reference": f"payout-{wanted['to']}",
                "amount_minor": wanted["amount_minor"],
                "currency": self._story["currency"],
                "rail": wanted["rail"],
                "remittance": f"Payout {wanted['to']}",
            }
            orders[wanted["to"]] = self._pay.post("/v1/payouts", body)
        for wanted in self._story["payouts"]:
            payout = self._payout_in(orders[wanted["to"]]["id"], "settled")
            lived = [event["type"].removeprefix("payout.") for event in payout["history"]]
            if wanted.get("answer_lost") and "unknown" not in lived:
                raise DemoFailed(f"the payout whose answer was lost was never unknown: {lived}")
            orders[wanted["to"]] = payout
            self._step(
                f"{wanted['to']} paid {_euro(wanted['amount_minor'])} by {wanted['rail']}: {' > '.join(lived)}"
            )
        return orders

    def _payout_in(self, payout_id: str, state: str) -> Json:
        def reached() -> Json | None:
            payout = self._pay.get(f"/v1/payouts/{payout_id}")
            return payout if payout["state"] == state else None

        return until(f"payout {payout_id} {state}", reached, within_s=WAIT_S)

    def _return(self, payouts: Mapping[str, Json]) -> None:
        returned = self._story["return"]
        payout = payouts[returned["of"]]
        body = {"endToEndId": payout["end_to_end_id"], "reason": returned["reason"]}
        self._bank.post("/sandbox/returns", json=body).raise_for_status()
        self._payout_in(payout["id"], "returned")
        self._step(
            f"the {returned['of']}'s payout came back ({returned['reason']}): the money is its own again"
        )

    def _sweep(self) -> None:
        body = {
            "reference": "sweep-1",
            "amount_minor": self._story["sweep"]["amount_minor"],
            "currency": self._story["currency"],
        }
        sweep = self._pay.post("/v1/sweeps", body)
        self._payout_in(sweep["id"], "settled")
        self._step(f"commission of {_euro(body['amount_minor'])} swept to the operating account")

    def _charge_fee(self) -> None:
        fee = self._story["fee"]
        body = {"iban": self._safeguarding.iban, "text": fee["text"]}
        self._at_the_bank("/sandbox/fees", body, amount_minor=fee["amount_minor"])
        self._step(f"the bank charged {_euro(fee['amount_minor'])} and told nobody")

    def _reconcile(self, days: list[str]) -> None:
        for day in days:
            wish = self._pay.post("/v1/statement-requests", {"day": day})
            self._imported(wish["id"], day)
        report = self._pay.post("/v1/reconciliations")
        safeguarding = self._pay.get("/v1/reports/safeguarding")
        trial_balance = self._pay.get("/v1/reports/trial-balance")
        self._keep_reports(report, safeguarding, trial_balance)
        accounts = {account["code"]: account for account in report["accounts"]}
        bank, operating = accounts["safeguarding_bank"], accounts["operating_bank"]
        opened, closed = operating["statement_opening_minor"], operating["statement_closing_minor"]
        self._measured["bank"] = {
            "safeguarding_book": bank["book_minor"],
            "safeguarding_statement_closing": bank["statement_closing_minor"],
            "operating_statement_closing_change": closed - opened,
        }
        first = next(iter(report["open_breaks"]), {"kind": None, "amount_minor": None})
        self._measured["reconciliation"] = {
            "open_breaks": len(report["open_breaks"]),
            "break": {"kind": first["kind"], "amount_minor": first["amount_minor"]},
            "unmatched_ledger_movements": report["unmatched_ledger_movements"],
        }
        keys = ("requirement_minor", "resource_minor", "shortfall_minor")
        self._measured["safeguarding"] = {key: safeguarding[key] for key in keys}
        self._measured["trial_balance_sum"] = sum(trial_balance["sum_minor"].values())
        self._step(
            f"statements of three days: {report['matched']} lines matched, {len(report['open_breaks'])} open"
        )
        self._step(f"safeguarding is short by {_euro(safeguarding['shortfall_minor'])}")

    def _imported(self, wish_id: str, day: str) -> None:
        def done() -> Json | None:
            wish = self._pay.get(f"/v1/statement-requests/{wish_id}")
            if wish["state"] == "failed":
                raise DemoFailed(f"no statement for {day}: {wish['detail']}")
            return wish if wish["state"] == "imported" else None

        until(f"the statement of {day}", done, within_s=WAIT_S)

    def _keep_reports(self, reconciliation: Json, safeguarding: Json, trial_balance: Json) -> None:
        self._reports.mkdir(exist_ok=True)
        _write(self._reports / "reconciliation.json", reconciliation)
        _write(self._reports / "safeguarding.json", safeguarding)
        (self._reports / "trial_balance.csv").write_text(as_csv(trial_balance["rows"]))

    def _count_orders(self) -> None:
        """Orders that reached the bank more than once, by the bank's own list and by our attempts."""
        received = self._bank.get("/sandbox/payments").raise_for_status().json()["payments"]
        by_reference: dict[str, int] = {}
        for order in received:
            times = len(order["requestIds"]) + order["repeats"]
            by_reference[order["endToEndId"]] = by_reference.get(order["endToEndId"], 0) + times
        ours = self._pay.get("/v1/payouts")["data"]
        sent = {
            payout["end_to_end_id"]: sum(attempt["sent"] for attempt in payout["attempts"]) for payout in ours
        }
        more = {key for counts in (by_reference, sent) for key, count in counts.items() if count > 1}
        if set(sent) - set(by_reference):
            raise DemoFailed("the bank does not know an order that we believe we sent")
        self._measured["bank_orders_sent_more_than_once"] = len(more)

    def _export(self) -> None:
        wish = self._pay.post("/v1/exports")

        def ready() -> Json | None:
            found = self._pay.get(f"/v1/exports/{wish['id']}")
            if found["state"] == "failed":
                raise DemoFailed(f"no export: {found['detail']}")
            return found if found["state"] == "ready" else None

        until("the export", ready, within_s=WAIT_S)
        packed = self._pay.download(f"/v1/exports/{wish['id']}/package")
        _unpack(packed, self._package)
        self._measured["export"] = {
            "verifies": self._verifies(self._package),
            "one_flipped_byte_is_found": not self._verifies(self._with_flipped_byte()),
        }
        self._step(f"books exported to {self._package}: they verify, and one flipped byte is found")

    def _with_flipped_byte(self) -> Path:
        spoilt = self._stack.home / "export-with-a-flipped-byte"
        shutil.copytree(self._package, spoilt)
        entries = spoilt / "entries.csv"
        content = bytearray(entries.read_bytes())
        content[len(content) // 2] ^= 1
        entries.write_bytes(content)
        return spoilt

    def _verifies(self, package: Path) -> bool:
        """As an auditor would: another process, with the package and the public key and nothing else."""
        key = self._stack.public_keys / "report-v1.pem"
        command = [sys.executable, "-P", "-m", "api.cli", "verify", str(package), "--key", str(key)]
        environment = {"PATH": os.environ.get("PATH", "")}
        return subprocess.run(command, check=False, capture_output=True, env=environment).returncode == 0

    # --- what is read back -------------------------------------------------------------------------------------------

    def _account(self, account_id: str) -> Json:
        return self._pay.get(f"/v1/accounts/{account_id}")

    def _balances(self) -> dict[str, int]:
        keys = ("ana", "atelier", "soundbar", "hotel", "lea")
        return {key: self._account(self._parties[key]["account_id"])["posted_minor"] for key in keys}

    def _balances_after(self) -> dict[str, int]:
        rows = self._pay.get("/v1/reports/trial-balance")["rows"]
        by_code = {row["code"]: row for row in rows if row["party_id"] is None}
        held = sum(row["held_minor"] for row in rows if row["code"] == "customer_wallet")
        return {
            **self._balances(),
            "platform_commission_income": by_code["commission_income"]["balance_minor"],
            "payouts_in_flight": by_code["payouts_in_flight"]["balance_minor"],
            "customer_holds": held,
        }


def differences(expected: object, measured: object, path: str = "") -> list[str]:
    """Every place where what was measured is not what was expected."""
    if isinstance(expected, Mapping) and isinstance(measured, Mapping):
        keys = [*expected, *(key for key in measured if key not in expected)]
        return [
            found
            for key in keys
            for found in differences(expected.get(key), measured.get(key), f"{path}.{key}".lstrip("."))
        ]
    same = expected == measured and type(expected) is type(measured)
    return [] if same else [f"{path} is {measured!r}, not {expected!r}"]


def _show(console: Console, expected: Json, measured: Json) -> None:
    table = Table(title="\nWhat it came to", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    table.add_column("measured", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for name, wanted in expected.items():
        if isinstance(wanted, dict):
            table.add_row(f"[bold]{_words(name)}[/]")
        for path, one, found in _flat({name: wanted}, measured):
            mark = "[green]✓[/]" if one == found else "[red]differs[/]"
            table.add_row(path, _text(path, found), _text(path, one), mark)
    console.print(table)


def _flat(expected: Json, measured: Json, path: str = "") -> list[tuple[str, object, object]]:
    """(figure, expected, measured), line by line; figures of a group are indented and leave its name out."""
    rows: list[tuple[str, object, object]] = []
    for key, wanted in expected.items():
        found = measured.get(key)
        if isinstance(wanted, dict):
            inner = f"{path}{_words(key)} · " if path else "  "
            rows += _flat(wanted, found if isinstance(found, dict) else {}, inner)
        else:
            rows.append((f"{path}{_words(key)}", wanted, found))
    return rows


def _words(key: str) -> str:
    return key.replace("_minor", "").replace("_", " ")


def _text(figure: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    counted = figure.strip() in COUNTS
    return _euro(value) if isinstance(value, int) and not counted else str(value)


def _euro(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}€{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _unpack(packed: bytes, directory: Path) -> None:
    """Unpacks plain files by their bare names, whatever the archive says of places."""
    directory.mkdir()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                (directory / Path(member.name).name).write_bytes(content.read())


def _write(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
