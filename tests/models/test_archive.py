"""The file of a compiled model: written whole, mapped, and checked before it is used."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from colt.errors import InputError
from colt.models.archive import (
    LIBRARY,
    MANIFEST,
    PAGE,
    SCHEMA,
    WEIGHTS,
    Manifest,
    TensorPart,
    WeightPart,
    laid_out,
    open_archive,
    write_archive,
)

ARRAYS = [np.arange(10, dtype="float32"), np.arange(3, dtype="int8"), np.arange(100, dtype="float32").reshape(4, 25)]


def written(path: Path, **changes: object) -> Manifest:
    """A file with three weights."""
    manifest = Manifest(
        schema=SCHEMA,
        name="m",
        inputs=(TensorPart(name="x", shape=(2,), dtype="float32"),),
        outputs=(),
        target="{}",
        threads=2,
        needs=(),
        weights=laid_out([(array.shape, str(array.dtype)) for array in ARRAYS]),
        tasks=(),
        versions={},
        seconds={},
        trials=0,
        usd=0.0,
    )
    data = [array.reshape(-1).view(np.uint8) for array in ARRAYS]
    return write_archive(path, msgspec.structs.replace(manifest, **changes), b"a library", data)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    manifest = written(path)
    archive = open_archive(path)
    assert archive.manifest == manifest
    assert archive.library() == b"a library"
    archive.require_whole()
    for data, part, array in zip(archive.weights(), manifest.weights, ARRAYS, strict=True):
        np.testing.assert_array_equal(data.view(part.dtype).reshape(part.shape), array, strict=True)
    assert [file.name for file in tmp_path.iterdir()] == ["m.colt"]


def test_weights_lie_where_they_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    written(path)
    archive = open_archive(path)
    assert archive.weights_at[0] % PAGE == 0
    assert all(part.offset % 64 == 0 for part in archive.manifest.weights)
    assert all(data.ctypes.data % 64 == 0 for data in archive.weights())


def test_it_is_a_zip_archive_for_others(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    written(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [MANIFEST, LIBRARY, WEIGHTS]
        assert archive.testzip() is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "m.colt"
    written(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="not a compiled model"):
        open_archive(path)


@pytest.mark.parametrize("part", [LIBRARY, WEIGHTS])
def test_a_changed_byte_is_found(tmp_path: Path, part: str) -> None:
    path = tmp_path / "m.colt"
    written(path)
    archive = open_archive(path)
    at = archive.library_at[0] if part == LIBRARY else archive.weights_at[0]
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    changed = open_archive(path)
    with pytest.raises(InputError, match=f"{part} is damaged"):
        changed.library() if part == LIBRARY else changed.require_whole()


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (WeightPart(offset=0, shape=(10**6,), dtype="float32"), "outside"),
        (WeightPart(offset=-64, shape=(1,), dtype="float32"), "outside"),
        (WeightPart(offset=1, shape=(1,), dtype="float32"), "outside"),
        (WeightPart(offset=0, shape=(-4,), dtype="float32"), "is none"),
        (WeightPart(offset=0, shape=(1,), dtype="float99999"), "is none"),
    ],
)
def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path, weight: WeightPart, said: str) -> None:
    """The manifest may be a stranger's."""
    path = tmp_path / "m.colt"
    written(path, weights=(weight,) * 3)
    with pytest.raises(InputError, match=said):
        open_archive(path)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    written(path, schema=SCHEMA + 1)
    with pytest.raises(InputError, match="compile it again"):
        open_archive(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        written(tmp_path / "nowhere" / "m.colt")
    assert not list(tmp_path.iterdir())
