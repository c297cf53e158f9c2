"""A bank to develop against: a server of its own that speaks ClearBank's published EU dialect.

It keeps its own books in its own database file and runs as its own process. It knows nothing of the
rest of this repository, and nothing of the rest may look into it: the two meet over HTTP only.
"""
