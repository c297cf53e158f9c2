"""What a PKCS#11 module has to offer for each purpose, looked at before the first key is made in it.

Without this a ceremony on a module that lacks one mechanism would leave half of the keys behind. Mechanisms that take
keys out (wrapping) are not wanted: where a module can switch them off, do.
Follows: PKCS #11 v2.40 (RSA, ECDSA, ECDH, HMAC, GCM) and v3.0 (Edwards curves).
"""

import pkcs11
from pkcs11 import Mechanism, PKCS11Error

from enclave.keys import Algorithm, KeyBackendFailure, Purpose, algorithm_of


def mechanisms_of(algorithm: Algorithm) -> tuple[Mechanism, Mechanism]:
    """The mechanism that makes keys of an algorithm, and the one that works with them."""
    match algorithm:
        case Algorithm.RSA_SHA256:
            return Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.SHA256_RSA_PKCS
        case Algorithm.ES256:
            return Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA
        case Algorithm.ED25519:
            return Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA
        case Algorithm.ECDH_P256:
            return Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDH1_DERIVE
        case Algorithm.HMAC_SHA256:
            return Mechanism.GENERIC_SECRET_KEY_GEN, Mechanism.SHA256_HMAC
        case Algorithm.AES_256_GCM:
            return Mechanism.AES_KEY_GEN, Mechanism.AES_GCM


def refuse_missing_mechanisms(token: pkcs11.Token) -> None:
    """Return if the token's slot offers whatever our purposes need.

    Raises:
        KeyBackendFailure: naming each mechanism that is missing, and what it is missed for.
    """
    try:
        offered = set(token.slot.get_mechanisms())
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the mechanisms cannot be listed ({type(error).__name__})") from error
    missing = [
        f"{mechanism.name} for {purpose}"
        for purpose in Purpose
        for mechanism in mechanisms_of(algorithm_of(purpose))
        if mechanism not in offered
    ]
    if missing:
        raise KeyBackendFailure(f"the token lacks mechanisms: {', '.join(missing)}")
