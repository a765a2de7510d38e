"""Exit codes of all commands."""

OK = 0
DIFFERENT = 1
"""A replay differs from its run."""
OTHER_OUTPUTS = 1
"""A compiled model does not compute what the original computes."""
SOME_UNUSABLE = 1
"""Not all models of a pool can be used."""
BAD_INPUT = 2
INTERRUPTED = 130
