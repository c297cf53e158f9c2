"""Putting a resolution into force: the one place that adds to what was resolved, and only what counts.

Makes no keys, so that it may be used where no token is at hand.
"""

from enclave.resolutions import (
    Head,
    Register,
    SignedResolution,
    document_hash,
    read_document,
    register_of,
    resolved,
)
from enclave.roster import Roster
from enclave.store import DatabaseResolutions


def put_in_force(resolutions: DatabaseResolutions, draft: SignedResolution, members: Roster) -> Register:
    """Registers a draft that enough custodians have endorsed; answers what holds then. Twice is once.

    Raises:
        ResolutionInvalid: it does not count, and was not registered.
        ResolutionsUnavailable: the database did not answer.
    """
    with resolutions.one_at_a_time():
        register = register_of(resolutions.all(), members)
        if register.holds(Head(read_document(draft.document).number, document_hash(draft.document))):
            return register
        after = resolved(register, draft, members)
        resolutions.add(draft)
    return after
