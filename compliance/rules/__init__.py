"""The rules of the gate: one file a rule, each a pure function over the facts gathered for a batch."""
