"""What was found about endpoints is kept, replaced and bounded; a damaged file costs nothing but the memory of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colt.proposers.language.findings import FILE, MOST, recall, remember
from colt.store.receipt import FoundPart
from tests.helpers.chat_members import member

pytest.importorskip("openai", reason="language models come with the extra models")

from colt.proposers.language.probe import Finding, Reasoning, SchemaSupport

URL = "http://127.0.0.1:1/v1"


def finding(model: str = "org/small-7b", usable: bool = True) -> Finding:
    problem = "" if usable else "the key is not accepted"
    return Finding("small", model, URL, usable, problem, SchemaSupport.ENFORCED, True, Reasoning.NONE, model, 0.5)


def recalled(folder: Path, url: str = URL, **changes: Any) -> FoundPart | None:
    return recall([member(url, **changes)], folder).get("small")


def test_what_was_found_is_recalled_by_endpoint_and_model(tmp_path: Path) -> None:
    remember([finding(), finding("other")], tmp_path)
    found = recalled(tmp_path)
    assert found is not None
    assert (found.usable, found.schema, found.usage_reported, found.reasoning) == (True, "enforced", True, "none")
    assert (found.served_model, found.seconds, found.problem) == ("org/small-7b", 0.5, "")
    assert recalled(tmp_path, "http://127.0.0.1:2/v1") is None
    assert recalled(tmp_path, model="third") is None


def test_the_latest_counts(tmp_path: Path) -> None:
    remember([finding()], tmp_path)
    remember([finding(usable=False)], tmp_path)
    found = recalled(tmp_path)
    assert found is not None
    assert (found.usable, found.problem) == (False, "the key is not accepted")


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    remember([finding()], tmp_path)
    remember([finding(f"model-{number}") for number in range(MOST)], tmp_path)
    assert recalled(tmp_path) is None
    assert recalled(tmp_path, model="model-0") is not None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a b": {"usable": 1}}', b"\xff"])
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert recalled(tmp_path) is None
    remember([finding()], tmp_path)
    assert recalled(tmp_path) is not None
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.warns(UserWarning, match="not kept"):
        remember([finding()], blocked / "folder")
