"""Records: what earlier runs have found, kept beyond their directories in one SQLite file per user.

place.py       where the file is
record.py      what a record holds; all of it is data from strangers when it is read
file.py        the file: recognised before it is touched, made whole or not at all, migrated (schema.py)
store.py       putting records in, looking them up, removing them (prune.py)
adapt.py       the value of a relative's knob, as legal here
lines.py       records as JSON lines
database.py    records as a MetaSchedule database, whose programs and traces stay text
sources.py     what records can be read from
"""
