"""The tables of the file of records, version by version.

A record is one row, so that no reader ever sees a part of one. Its columns are for looking it up; ``body`` is the whole
of it as JSON, and the only thing that is believed. Programs are kept once for all their records.
"""

from __future__ import annotations

APPLICATION = 0x434F4C54
"""Marks the file as ours: ``COLT`` in SQLite's application id."""

FIRST = """
CREATE TABLE programs (hash TEXT PRIMARY KEY, module TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    structure TEXT NOT NULL, family TEXT NOT NULL, machine_key TEXT NOT NULL, versions TEXT NOT NULL,
    schedule TEXT NOT NULL, program TEXT, latency_us REAL NOT NULL, verified INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (structure, machine_key, versions, schedule)
);
"""
BY_FAMILY = """
CREATE INDEX records_by_family ON records (family, latency_us);
"""
MIGRATIONS = (FIRST, BY_FAMILY)
"""What leads from each version to the next; the first from an empty file to version 1."""
VERSION = len(MIGRATIONS)
"""The version that this COLT reads and writes, SQLite's ``user_version``."""
