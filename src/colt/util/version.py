"""The version of COLT."""

__version__ = "0.1.0"
