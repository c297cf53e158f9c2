"""The ceremony and the enclave on other PKCS#11 modules than SoftHSM2's own."""

from pathlib import Path

import pytest

from enclave.keys import Purpose, verifies
from tests.enclave.modules import ProxiedToken, copy_of, hsm_server, printed, tokens_of
from tests.enclave.process import SO_PIN, TOKEN_LABEL, SoftHsmToken
from tests.enclave.signing import MANIFEST, ask_bank, signed

# A second token of the same label, as a careless copy or two partitions of one HSM would show it.
SECOND_TOKEN = f"""
from pathlib import Path
from enclave.backends.function_list import initialise_token
from enclave.backends.pkcs11 import slots_with_tokens
from enclave.pin import Pin
from pkcs11 import TokenFlag
module = Path("{{module}}")
(slot,) = [s for s in slots_with_tokens(module) if not s.get_token().flags & TokenFlag.TOKEN_INITIALIZED]
initialise_token(module, slot_id=slot.slot_id, label="{TOKEN_LABEL}", so_pin=Pin("{SO_PIN}"))
"""
SERIALS = """
import pkcs11
for slot in pkcs11.lib("{module}").get_slots(token_present=True):
    token = slot.get_token()
    if token.flags & pkcs11.TokenFlag.USER_PIN_INITIALIZED:
        print(token.serial.decode())
"""


@pytest.fixture
def proxied(bare_token: SoftHsmToken) -> ProxiedToken:
    return ProxiedToken.before(bare_token)


def test_a_second_module_is_used_from_the_ceremony_to_the_restart(
    proxied: ProxiedToken, tmp_path: Path
) -> None:
    made, again = proxied.hold_ceremony(), proxied.hold_ceremony()

    assert f"keys made: {len(Purpose)}\n" in made.stdout, made.stderr
    assert "nothing new was made: every key was there\n" in again.stdout, again.stderr
    for _ in range(2):
        with proxied.serving(tmp_path) as enclave:
            assert signed(proxied, ask_bank(enclave))
            with enclave.client() as client:
                signature = client.export(manifest=MANIFEST).signature
            assert enclave.terminate() == 0
            assert "enclave: seccomp done\n" in enclave.errors()
        message = b"tallystick-export-v1\n" + MANIFEST
        assert verifies(Purpose.REPORT, proxied.pem("report"), message=message, signature=signature)


def test_keys_made_by_one_module_are_the_same_by_another(token: SoftHsmToken, tmp_path: Path) -> None:
    proxied = ProxiedToken.before(copy_of(token, tmp_path))

    with proxied.serving(tmp_path) as enclave:
        assert signed(token, ask_bank(enclave))


def test_a_module_that_lacks_a_mechanism_is_told_before_any_key_is_made(bare_token: SoftHsmToken) -> None:
    with hsm_server(bare_token) as (far, _):
        done = far.hold_ceremony()

    assert done.returncode == 2
    assert done.stderr.startswith("enclave: the token lacks mechanisms: ")
    for purpose in (Purpose.CHECKPOINT, Purpose.REPORT, Purpose.WEBHOOK):
        assert f"EC_EDWARDS_KEY_PAIR_GEN for {purpose}, EDDSA for {purpose}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not bare_token.public_keys.exists()


def test_a_token_that_was_made_over_the_wire_is_finished_at_home(bare_token: SoftHsmToken) -> None:
    """The ceremony makes the token itself over a module that exports no C_InitToken and forgets its slots."""
    with hsm_server(bare_token) as (far, _):
        assert far.hold_ceremony().returncode == 2
        assert len(list(tokens_of(bare_token).iterdir())) == 1

    done = bare_token.hold_ceremony()

    assert f"keys made: {len(Purpose)}\n" in done.stdout, done.stderr
    assert len(list(tokens_of(bare_token).iterdir())) == 1


def test_keys_in_another_process_sign_from_behind_the_filter(token: SoftHsmToken, tmp_path: Path) -> None:
    own = copy_of(token, tmp_path)

    with hsm_server(own) as (far, _), far.serving_far(tmp_path) as enclave:
        assert enclave.ready_line == "ready\n"
        assert signed(token, ask_bank(enclave))
        assert enclave.terminate() == 0


def test_of_two_tokens_with_one_label_the_serial_number_tells(
    bare_token: SoftHsmToken, tmp_path: Path
) -> None:
    assert bare_token.hold_ceremony().returncode == 0
    (serial,) = printed(bare_token, SERIALS)
    printed(bare_token, SECOND_TOKEN)

    by_label = bare_token.serve_and_fail(tmp_path)
    absent = bare_token.serve_and_fail(tmp_path, token_serial="0000000000000000")

    assert f"there is more than one token labelled {TOKEN_LABEL}" in by_label.stderr
    assert f"there is no token labelled {TOKEN_LABEL} and with serial 0000000000000000" in absent.stderr
    for options in ({"token_serial": serial}, {"token_serial": serial, "token_label": None}):
        with bare_token.serving(tmp_path, **options) as enclave:
            assert signed(bare_token, ask_bank(enclave))


def test_a_token_has_to_be_named(token: SoftHsmToken, tmp_path: Path) -> None:
    done = token.serve_and_fail(tmp_path, token_label=None)

    assert done.returncode == 2
    assert "--token-label or --token-serial" in done.stderr


def test_a_slot_in_use_is_never_initialised_again(token: SoftHsmToken, tmp_path: Path) -> None:
    own = copy_of(token, tmp_path)
    code = SECOND_TOKEN.format(module=own.module).replace(" if not ", " if ")

    done = own.python(code)

    assert "KeyBackendFailure: the slot for the new token holds one already" in done.stderr
    with own.serving(tmp_path) as enclave:
        assert signed(token, ask_bank(enclave))


@pytest.mark.parametrize("library", ["/nonexistent.so", "libc.so.6"])
def test_what_is_no_module_ends_in_one_line(bare_token: SoftHsmToken, tmp_path: Path, library: str) -> None:
    other = SoftHsmToken(Path(library), bare_token.configuration, bare_token.directory)

    for done in (other.hold_ceremony(), other.serve_and_fail(tmp_path)):
        assert done.returncode == 2
        assert done.stderr.startswith("enclave: the PKCS#11 module does not start")
        assert done.stderr.count("\n") == 1
