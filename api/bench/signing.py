"""How fast the enclave signs: through its socket, with its policy and its durable log, against the token by itself.

The reference is a bare loop over the same key on the same token, in a process of its own, right before each round.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

from rich.console import Console

from api.bench.bench import SEED
from api.bench.machine import this_machine
from api.bench.report import console_for_results, print_rows
from api.bench.row import Row, write_rows
from api.bench.signing_callers import Asked, ask
from api.bench.signing_stock import Waiting, stock
from api.custodians import agree
from api.database import engine
from api.stack import DATABASE, TOKEN_LABEL, Stack
from enclave.client import EnclaveClient
from enclave.softhsm import CONFIGURATION_VARIABLE, find_module

CALLERS = 16
PAYOUTS_BAR = 0.4
TOKENS_BAR = 0.6
VERSIONS_BAR = 0.9
ISSUER = "https://bench.example"


@dataclass(frozen=True, slots=True)
class SigningScale:
    """How much is measured. Seconds and counts are the most that is done."""

    rounds: int
    run_s: float
    reference_s: float
    payouts: int
    tokens: int
    versions: int


FULL = SigningScale(rounds=5, run_s=5.0, reference_s=3.0, payouts=15_000, tokens=40_000, versions=1_000)
QUICK = SigningScale(rounds=1, run_s=0.5, reference_s=0.3, payouts=200, tokens=500, versions=5)


@dataclass(frozen=True, slots=True)
class _Bench:
    """An enclave that serves, and how to reach its token beside it."""

    stack: Stack
    scale: SigningScale
    say: Console

    @property
    def socket_path(self) -> Path:
        """Relative, because paths of sockets are short."""
        return Path(os.path.relpath(self.stack.home / "enclave.sock"))

    def bare_rate(self, purpose: str) -> float:
        """Signatures a second of the token by itself."""
        return self._rate("sign", purpose)

    def issue_rate(self) -> float:
        """Access tokens a second, in a process that does nothing else."""
        return self._rate("issue", "access_token")

    def _rate(self, command: str, purpose: str) -> float:
        told = self.rehearse(command, "--purpose", purpose, "--seconds", str(self.scale.reference_s))
        return told["count"] / told["seconds"]

    def rehearse(self, *command: str) -> dict[str, float]:
        """Runs `enclave.rehearsal` on the token."""
        directory = self.stack.home / "enclave"
        with (directory / "user-pin").open("rb") as pin:
            token = [
                "--module",
                str(find_module()),
                "--token-label",
                TOKEN_LABEL,
                "--pin-fd",
                str(pin.fileno()),
            ]
            done = subprocess.run(
                [sys.executable, "-P", "-m", "enclave.rehearsal", *command, *token],
                check=True,
                env={
                    "PATH": os.environ["PATH"],
                    CONFIGURATION_VARIABLE: str(directory / "softhsm" / "softhsm2.conf"),
                },
                stdout=subprocess.PIPE,
                pass_fds=[pin.fileno()],
            )
        told: dict[str, float] = json.loads(done.stdout)
        return told

    def ask(self, requests: Sequence[bytes]) -> Asked:
        """Has the callers ask, and looks at the answers."""
        asked = ask(self.socket_path, requests, callers=CALLERS, seconds=self.scale.run_s)
        asked.check()
        return asked


def run_signing_bench(*, home: Path, output: Path, quick: bool) -> list[Row]:
    """Measures, prints, and writes `enclave.json` into `output`; everything lives under `home`, which is thrown away.

    Raises: StackFailed, BenchRefused.
    """
    scale, progress = QUICK if quick else FULL, Console(stderr=True, highlight=False)
    with _serving(home, scale, progress) as bench:
        requests = iter(_payout_requests(_stocked(bench)))
        rows = _payouts(bench, requests) + _tokens(bench) + _many_versions(bench)
    write_rows(output / "enclave.json", rows)
    results, machine = console_for_results(), this_machine()
    results.print(f"machine     {machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}")
    results.print("token       SoftHSM2; reference: a bare loop over the same key, in a process of its own")
    print_rows(results, rows, judged=not quick)
    return rows


@contextmanager
def _serving(home: Path, scale: SigningScale, progress: Console) -> Iterator[_Bench]:
    shutil.rmtree(home, ignore_errors=True)
    stack = Stack(home.resolve(), say=lambda line: progress.print(f"  {line}"))
    stack.start_signing()
    try:
        yield _Bench(stack, scale, progress)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def _stocked(bench: _Bench) -> tuple[Waiting, ...]:
    bench.say.print(f"  {bench.scale.payouts:,} payouts, ordered and submitted")
    pool = engine(bench.stack.postgres.url("tallystick_app", DATABASE), pool_size=1)
    try:
        return stock(pool, Random(SEED), bench.scale.payouts)
    finally:
        pool.dispose()


def _payouts(bench: _Bench, requests: Iterator[bytes]) -> list[Row]:
    """Each payout is signed once: the bar is for what happens to a payout that nobody has seen before."""
    bench.say.print("  payouts")
    share = bench.scale.payouts // bench.scale.rounds
    references, rates, p99s = [], [], []
    for _ in range(bench.scale.rounds):
        references.append(bench.bare_rate("payout"))
        asked = bench.ask([request for _, request in zip(range(share), requests, strict=False)])
        rates.append(asked.rate)
        p99s.append(asked.p99_ms)
    name = f"payouts, {CALLERS} callers, through the socket, log durable"
    return [
        Row(name=name, value=median(rates), unit="/s", reference=median(references), bar=PAYOUTS_BAR),
        Row(name=f"{name}: p99", value=median(p99s), unit="ms"),
    ]


def _tokens(bench: _Bench) -> list[Row]:
    """The bar is for the tokens themselves. Through the socket each is asked for, decided upon and logged as well."""
    bench.say.print("  access tokens")
    references, issued = [], []
    for _ in range(bench.scale.rounds):
        references.append(bench.bare_rate("access_token"))
        issued.append(bench.issue_rate())
    rates, p99s = _token_rounds(bench)
    reference, name = median(references), f"access tokens, {CALLERS} callers, through the socket, log durable"
    return [
        Row(
            name="access tokens, by python-jose with the key in the token",
            value=median(issued),
            unit="/s",
            reference=reference,
            bar=TOKENS_BAR,
        ),
        Row(name=name, value=median(rates), unit="/s", reference=reference),
        Row(name=f"{name}: p99", value=median(p99s), unit="ms"),
    ]


def _token_rounds(bench: _Bench) -> tuple[list[float], list[float]]:
    rates, p99s = [], []
    for _ in range(bench.scale.rounds):
        asked = bench.ask(list(_token_requests(bench.scale.tokens)))
        rates.append(asked.rate)
        p99s.append(asked.p99_ms)
    return rates, p99s


def _many_versions(bench: _Bench) -> list[Row]:
    """The same tokens, with so many versions of their key on the token: first without, then with them."""
    few, _ = _token_rounds(bench)
    bench.say.print(f"  {bench.scale.versions:,} versions of the key of access tokens")
    _admit_versions(bench)
    many, _ = _token_rounds(bench)
    return [
        Row(
            name=f"access tokens with {bench.scale.versions:,} versions of their key on the token, against one",
            value=median(many),
            unit="/s",
            reference=median(few),
            bar=VERSIONS_BAR,
        )
    ]


def _admit_versions(bench: _Bench) -> None:
    directory, url = bench.stack.home / "enclave", bench.stack.postgres.url("tallystick_custodian", DATABASE)
    draft = directory / "versions.json"
    bench.rehearse(
        "versions", "--purpose", "access_token", "--count", str(bench.scale.versions),
        "--public-keys", str(bench.stack.public_keys), "--draft", str(draft),
        "--custodians", str(directory / "custodians" / "roster.json"), "--database-url", url,
    )  # fmt: skip
    agree(draft, directory / "custodians", url)
    with EnclaveClient(bench.socket_path) as enclave:
        enclave.load_keys()


def _payout_requests(waiting: Iterable[Waiting]) -> Iterator[bytes]:
    for payout in waiting:
        yield _datagram(
            {
                "purpose": "payout",
                "payout_id": payout.payout_id,
                "attempt_id": payout.attempt_id,
                "profile": payout.profile,
                "scheme": "body_rsa_sha256",
                "target": None,
                "body": base64.b64encode(payout.body).decode(),
            }
        )


def _token_requests(count: int) -> Iterator[bytes]:
    now = int(time.time())
    for _ in range(count):
        claims = {
            "client_id": "cli_bench",
            "programme_id": "prg_bench",
            "scopes": ["payments", "reports"],
            "audience": ISSUER,
            "issuer": ISSUER,
            "issued_at": now,
            "expires_at": now + 900,
            "token_id": secrets.token_hex(16),
        }
        yield _datagram({"purpose": "access_token", "claims": claims})


def _datagram(message: object) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
