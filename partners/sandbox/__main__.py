"""python -m partners.sandbox --home DIR --port N: run the sandbox bank until it is told to stop."""

import argparse
import sys
from pathlib import Path

from partners.sandbox.server import run
from partners.sandbox.settings import BankSettings
from partners.sandbox.store.database import HomeInUseError


def main(arguments: list[str] | None = None) -> int:
    """Run the bank; the exit code says how it ended."""
    chosen = _parser().parse_args(arguments)
    try:
        run(BankSettings(**vars(chosen)))
    except HomeInUseError as error:
        sys.stderr.write(f"another sandbox bank already runs on {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m partners.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where the bank keeps its books and key")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--webhook-retry-seconds", dest="webhook_retry_s", type=float, default=1.0)
    parser.add_argument("--webhook-answer-seconds", dest="webhook_answer_s", type=float, default=5.0)
    parser.add_argument("--webhook-attempts-max", type=int, default=96)
    parser.add_argument("--settle-seconds", dest="settle_s", type=float, default=0.0)
    parser.add_argument("--instant-delay-seconds", dest="instant_delay_s", type=float, default=1.0)
    parser.add_argument("--statement-page-entries", type=int, default=5_000)
    return parser


if __name__ == "__main__":
    sys.exit(main())
