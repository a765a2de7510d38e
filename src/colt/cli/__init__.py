"""The command line: arguments in, tables out. Each command is a file; ``app.py`` puts them together.

Commands import what they need when they run, so that ``colt --help`` answers at once.
"""

from colt.util.interrupt import end_quietly

end_quietly()  # before the rest is imported, which takes a moment

from colt.cli.app import main, process  # noqa: E402

__all__ = ["main", "process"]
