"""``python -m colt.cli``."""

from colt.cli.app import process

process()
