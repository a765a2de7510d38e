"""Tables fit the terminal, whatever its width, and no word of theirs is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from colt.util.grid import Grid

HEAD = ("proposer", "calls", "hits measured", "hits predicted", "taken over", "stopped")
ROWS = [("architect", "12", "3/4", "10/16", "1/2", "trials"), ("scout", "1,234", "0/0", "5/6", "0/0", "interrupted")]


def drawn(width: int, rows: list[tuple[str, ...]] = ROWS) -> list[str]:
    """The lines of a table on a terminal of that width."""
    out = io.StringIO()
    Console(file=out, width=width).print(Grid(HEAD, rows, title="runs", note="what is to be said of them"))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [140, 80, 60, 44, 30])
def test_no_word_is_cut_and_no_line_too_long(width: int) -> None:
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).replace("│", " ").replace("┃", " ").split()
    for text in (*HEAD, *(cell for row in ROWS for cell in row)):
        assert set(text.split()) <= set(words), text


def test_a_table_that_is_too_wide_is_turned() -> None:
    assert any("proposer" in line and "calls" in line for line in drawn(100))
    turned = drawn(44)
    assert any("proposer" in line and "architect" in line for line in turned)
    assert not any("proposer" in line and "calls" in line for line in turned)


def test_a_table_without_rows_has_its_head() -> None:
    assert any("proposer" in line for line in drawn(80, []))
