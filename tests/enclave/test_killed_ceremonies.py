"""The ceremony, killed outright at many moments: the next one finishes it, and no half of a key is ever used."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.enclave.process import PIN, SO_PIN, TOKEN_LABEL, SoftHsmToken

pytestmark = pytest.mark.slow

KILLS = 30
# Ceremonies in children of one process that has everything imported, and has never loaded the module: so the
# moments of the kills fall on the work and not on the imports.
KILLED_CEREMONIES = f"""
import os, random, select, shutil, signal, sys, time
from pathlib import Path
from enclave.__main__ import main
from enclave.backends.pkcs11 import Pkcs11Keys
from enclave.keys import KeyAddress, Purpose, fingerprint, verifies
from enclave.pin import Pin
from enclave.softhsm import write_configuration

module, home, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def secret(text):
    reader, writer = os.pipe()
    os.write(writer, text.encode()); os.close(writer)
    return str(reader)

def child(work):
    number = os.fork()
    if number == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return number

def ceremony():
    return main(["ceremony", "--module", module, "--token-label", "{TOKEN_LABEL}", "--public-keys",
        str(place / "public"), "--pin-fd", secret("{PIN}"), "--so-pin-fd", secret("{SO_PIN}"),
        "--draft", str(place / "draft.json")])

def inspection():
    keys = Pkcs11Keys.log_in_to(Path(module), token_label="{TOKEN_LABEL}", pin=Pin("{PIN}"))
    for purpose in Purpose:
        address = KeyAddress(purpose, version=1)
        identity = keys.open(address)
        if identity.public_key_pem is not None:
            pem = (place / "public" / f"{{purpose}}-v1.pem").read_text()
            assert identity.public_key_pem == pem
            if purpose is not Purpose.CARD_INTAKE:
                assert verifies(purpose, pem, message=b"m", signature=keys.sign(address, b"m"))
    return 0

def ended(number):
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

def killed_after(number, delay_s):
    with open(os.pidfd_open(number)) as ending:
        select.select([ending], [], [], delay_s)
    os.kill(number, signal.SIGKILL)
    return ended(number)

def fresh(name):
    global place
    place = home / name
    os.environ["SOFTHSM2_CONF"] = str(write_configuration(place))

fresh("timed"); begun = time.monotonic()
assert ended(child(ceremony)) == 0
whole_s = time.monotonic() - begun
dice = random.Random(20261122)
killed = attempts = 0
while killed < kills and attempts < 5 * kills:
    attempts += 1
    fresh(str(attempts))
    delay_s = dice.uniform(0, whole_s)
    if killed_after(child(ceremony), delay_s) == 0:
        whole_s = min(whole_s, delay_s)
    else:
        killed += 1
    given_out = {{file.name: file.read_text() for file in place.glob("public/*.pem")}}
    finished = ended(child(ceremony))
    sound = ended(child(inspection)) if finished == 0 else None
    kept = all((place / "public" / name).read_text() == pem for name, pem in given_out.items())
    print(len(given_out), finished, sound, kept, flush=True)
    shutil.rmtree(place)
print(f"killed: {{killed}}")
"""


def test_a_ceremony_killed_at_any_moment_is_finished_by_the_next(
    bare_token: SoftHsmToken, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_CEREMONIES, str(bare_token.module), str(tmp_path), str(KILLS)],
        env=bare_token.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    *outcomes, _ = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"killed: {KILLS}\n")
    assert [outcome for outcome in outcomes if outcome[1:] != ["0", "0", "True"]] == [], done.stderr
    assert len({outcome[0] for outcome in outcomes}) > 2, "the kills fell on different moments"
