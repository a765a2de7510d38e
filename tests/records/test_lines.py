"""JSON lines: what is written is read again, as imported; what is a stranger's is checked line by line."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from colt.errors import InputError
from colt.records.lines import as_imported, read_lines, write_lines
from tests.helpers.stored import record


def test_what_is_written_is_read_again_as_imported_and_not_verified() -> None:
    records = [record(1), record(2), record(4, stock=None)]
    read = read_lines(write_lines(records, {"123": "module", "9": "of none of them"}), "file")
    assert read.records == tuple(map(as_imported, records))
    assert not any(one.verified for one in read.records)
    assert all(one.origin.imported for one in read.records)
    assert (dict(read.programs), read.refused) == ({"123": "module"}, ())


def _with(**changes: Any) -> Any:
    return msgspec.to_builtins(record()) | changes


@pytest.mark.parametrize(
    "spoilt",
    [
        _with(latency_us=-1),
        _with(latency_us="quick"),
        _with(words=None, stock=None),
        _with(name="n" * 201),
        _with(surprise=1),
        _with(words={"variant": "plain", "sketch": "fused", "knobs": {"C.i": [8, 2**40]}}),
        _with(words={"variant": "plain", "sketch": "fused", "knobs": {"C.i": [1] * 65}}),
        _with(stock={"program": "x; DROP TABLE", "trace": "[]", "target": "", "arguments": ""}),
        _with(stock={"program": "1", "trace": "t" * (2**20 + 1), "target": "", "arguments": ""}),
        {},
    ],
)
def test_a_line_that_is_not_right_is_refused_with_its_number(spoilt: Any) -> None:
    good = write_lines([record()], {})
    bad = json.dumps({"kind": "record", "record": spoilt}).encode()
    read = read_lines(good + bad + b"\n", "file")
    assert len(read.records) == 1
    assert len(read.refused) == 1
    assert read.refused[0].startswith("file, line 3: ")


@pytest.mark.parametrize("row", [b"\xff\xfe", b"{", b"[" * 100_000, b'{"kind":"other"}', b"null", b"NaN"])
def test_a_line_that_is_no_json_of_ours_is_refused(row: bytes) -> None:
    assert len(read_lines(write_lines([], {}) + row + b"\n", "file").refused) == 1


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b'{"kind":"record"}\n', b"[" * 100_000])
def test_a_file_that_begins_otherwise_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="file does not begin as records"):
        read_lines(content, "file")


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(InputError, match="file has format 2 of records; this COLT reads 1"):
        read_lines(b'{"kind":"colt records","format":2}\n', "file")
