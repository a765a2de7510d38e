"""Exit codes of all commands."""

OK = 0
DIFFERENT = 1
"""A replay differs from its run."""
SOME_UNUSABLE = 1
"""Not all models of a pool can be used."""
BAD_INPUT = 2
INTERRUPTED = 130
