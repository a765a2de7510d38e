"""Where results may be written, found out before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from colt.errors import InputError
from colt.util.output import require_file, require_folder, write_file


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["new", "file"])
def test_a_file_may_be_new_or_replaced(name: str, place: Path) -> None:
    assert require_file(place / name) == place / name
    assert {one.name for one in place.iterdir()} == {"file", "folder"}
    assert (place / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (49_949, "49.9 kB"), (2_500_000, "2.5 MB")]
)
def test_what_was_written_is_said_in_a_unit_that_shows_it(size: int, said: str, place: Path) -> None:
    assert write_file(place / "new", b"x" * size) == f"wrote {place / 'new'} ({said})"


@pytest.mark.parametrize("name", ["folder", "", "none/new", "file/new", "x" * 300])
def test_what_cannot_be_a_file_is_refused(name: str, place: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: "):
        require_file(place / name)


@pytest.mark.parametrize("name", ["folder", "new", "new/deeper"])
def test_a_folder_may_be_new(name: str, place: Path) -> None:
    assert require_folder(place / name) == place / name
    assert {one.name for one in place.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("name", ["file", "file/new", "link", "x" * 300])
def test_what_cannot_be_a_folder_is_refused(name: str, place: Path) -> None:
    (place / "link").symlink_to(place / "none")
    with pytest.raises(InputError, match="cannot be written: "):
        require_folder(place / name)
