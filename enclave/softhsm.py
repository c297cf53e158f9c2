"""SoftHSM2, the software token that stands in for an HSM in development: where it is, how it is configured.

A stand-in and no more: it locks nobody out for guessing PINs, and its token is a directory that can be
copied. Production names another PKCS#11 module. May not import one.
"""

from pathlib import Path

CONFIGURATION_VARIABLE = "SOFTHSM2_CONF"
INSTALL_COMMAND = "sudo apt-get install -y softhsm2"

_MODULE_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
# Only what our purposes need: no wrapping, no export of any kind.
_MECHANISMS = (
    "CKM_RSA_PKCS_KEY_PAIR_GEN",
    "CKM_EC_KEY_PAIR_GEN",
    "CKM_EC_EDWARDS_KEY_PAIR_GEN",
    "CKM_SHA256_RSA_PKCS",
    "CKM_ECDSA",
    "CKM_EDDSA",
    "CKM_AES_KEY_GEN",
    "CKM_AES_GCM",
    "CKM_GENERIC_SECRET_KEY_GEN",
    "CKM_SHA256_HMAC",
    "CKM_ECDH1_DERIVE",
)


class SoftHsmMissing(Exception):
    """SoftHSM2 is not installed; the text names the one command that installs it."""


def find_module() -> Path:
    """Where SoftHSM2's PKCS#11 module is.

    Raises:
        SoftHsmMissing: in none of the places where Debian, Ubuntu and others put it.
    """
    for place in _MODULE_PLACES:
        if Path(place).is_file():
            return Path(place)
    raise SoftHsmMissing(f"SoftHSM2 is not installed. Run: {INSTALL_COMMAND}")


def write_configuration(directory: Path) -> Path:
    """Make a place for tokens that only we can enter, and the configuration that names it.

    The answer belongs into the environment of every process that uses the token, as `SOFTHSM2_CONF`.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    tokens = directory / "tokens"
    tokens.mkdir(mode=0o700, exist_ok=True)
    tokens.chmod(0o700)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(_configuration_text(tokens.resolve()), encoding="utf-8")
    return configuration.resolve()


def _configuration_text(tokens: Path) -> str:
    lines = (
        f"directories.tokendir = {tokens}",
        "objectstore.backend = file",
        "log.level = ERROR",
        "slots.removable = false",
        f"slots.mechanisms = {','.join(_MECHANISMS)}",
        # A process that forks must log in again: a child may not sign with its parent's login.
        "library.reset_on_fork = true",
    )
    return "".join(f"{line}\n" for line in lines)
