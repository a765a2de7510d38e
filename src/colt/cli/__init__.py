"""The command line: arguments in, tables out. Each command is a file; ``app.py`` puts them together.

Commands import what they need when they run, so that ``colt --help`` answers at once.
"""

from colt.cli.app import main, process

__all__ = ["main", "process"]
