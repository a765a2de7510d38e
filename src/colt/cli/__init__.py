"""The command line: arguments in, tables out. ``app.py`` has the parser, every command is a few lines over the API."""

from colt.cli.app import main

__all__ = ["main"]
