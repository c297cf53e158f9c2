"""A PKCS#11 module's own list of functions, for the one call that python-pkcs11 does not offer: C_InitToken.

Asked for by C_GetFunctionList, the only name that the standard wants a module to export: SoftHSM exports every call by
name, others do not. Some modules give each asker a list with a state of its own, so that the one here has to be started
before it is used; it is only stopped again by whoever started it.
Follows: PKCS #11 v2.40, 3.6 (CK_FUNCTION_LIST), C_Initialize, C_GetTokenInfo, C_InitToken. Knows no keys.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclave.keys import KeyBackendFailure
from enclave.pin import Pin

TOKEN_LABEL_BYTES = 32

_CKR_OK = 0
_CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191
_CKF_TOKEN_INITIALIZED = 0x400
# A CK_TOKEN_INFO begins with four texts of 32, 32, 16 and 16 bytes; the flags come next. It is smaller than this room.
_FLAGS_OFFSET = 96
_TOKEN_INFO_ROOM = 512


class _FunctionList(ctypes.Structure):
    """The beginning of a CK_FUNCTION_LIST, as far as C_InitToken."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
        ("finalize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
        ("get_info", ctypes.c_void_p),
        ("get_function_list", ctypes.c_void_p),
        ("get_slot_list", ctypes.c_void_p),
        ("get_slot_info", ctypes.c_void_p),
        ("get_token_info", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p)),
        ("get_mechanism_list", ctypes.c_void_p),
        ("get_mechanism_info", ctypes.c_void_p),
        (
            "init_token",
            ctypes.CFUNCTYPE(
                ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p
            ),
        ),
    )


def initialise_token(module: Path, *, slot_id: int, label: str, so_pin: Pin) -> None:
    """Make a token, with its security officer's PIN, in a slot that holds none.

    Raises:
        KeyBackendFailure: the label is none, the slot holds a token already, or the module did not do it.
    """
    name, secret = label.encode(), so_pin.reveal().encode()
    if not 0 < len(name) <= TOKEN_LABEL_BYTES:
        raise KeyBackendFailure(f"a token label has 1 to {TOKEN_LABEL_BYTES} bytes")
    with _started(_functions(module)) as functions:
        _refuse_used_slot(functions, slot_id)
        result = functions.init_token(slot_id, secret, len(secret), name.ljust(TOKEN_LABEL_BYTES))
    if result != _CKR_OK:
        raise KeyBackendFailure(f"the token cannot be initialised (PKCS#11 error {result:#x})")


def _functions(module: Path) -> _FunctionList:
    pointer = ctypes.POINTER(_FunctionList)()
    try:
        result = ctypes.CDLL(str(module)).C_GetFunctionList(ctypes.byref(pointer))
    except (OSError, AttributeError) as error:
        raise KeyBackendFailure(f"the PKCS#11 module does not start ({type(error).__name__})") from error
    if result != _CKR_OK or not pointer:
        raise KeyBackendFailure(f"the PKCS#11 module does not start (PKCS#11 error {result:#x})")
    return pointer.contents


@contextmanager
def _started(functions: _FunctionList) -> Iterator[_FunctionList]:
    result = functions.initialize(None)
    if result not in {_CKR_OK, _CKR_CRYPTOKI_ALREADY_INITIALIZED}:
        raise KeyBackendFailure(f"the PKCS#11 module does not start (PKCS#11 error {result:#x})")
    try:
        yield functions
    finally:
        if result == _CKR_OK:
            functions.finalize(None)


def _refuse_used_slot(functions: _FunctionList, slot_id: int) -> None:
    """A token that is initialised again loses its keys: look once more, right before."""
    room = ctypes.create_string_buffer(_TOKEN_INFO_ROOM)
    result = functions.get_token_info(slot_id, room)
    if result != _CKR_OK:
        raise KeyBackendFailure(f"the slots cannot be listed (PKCS#11 error {result:#x})")
    if ctypes.c_ulong.from_buffer(room, _FLAGS_OFFSET).value & _CKF_TOKEN_INITIALIZED:
        raise KeyBackendFailure("the slot for the new token holds one already")
