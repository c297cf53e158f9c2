"""The bank's webhook keys: the one that signs, the one before it, and a stranger's for a fault.

When the key is changed, the old one stays published beside the new one for a while on the test clock, so
that a client can go over without losing a webhook. The new one comes first.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from partners.sandbox.signing import KEY_BITS, BankKey, load_key, load_or_make_key


class KeyRing:
    """The keys of one home directory."""

    def __init__(self, current_path: Path, previous_path: Path) -> None:
        self._current_path = current_path
        self._previous_path = previous_path
        self._stranger: BankKey | None = None
        self.current = load_or_make_key(current_path)
        self.previous = load_key(previous_path) if previous_path.exists() else None

    def change(self) -> None:
        """Sign with a new key from now on. A bank killed in between makes the new one at its next start."""
        self._current_path.replace(self._previous_path)
        self.previous, self.current = self.current, load_or_make_key(self._current_path)

    @property
    def stranger(self) -> BankKey:
        """A key that was never published."""
        if self._stranger is None:
            self._stranger = BankKey(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))
        return self._stranger

    def public_pem(self, *, with_previous: bool) -> str:
        """What a client downloads."""
        shown = self.current.public_pem()
        return shown + self.previous.public_pem() if with_previous and self.previous is not None else shown
