"""COLT."""
