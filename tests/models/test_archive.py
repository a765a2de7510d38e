"""The file of a compiled model: written whole, mapped, and checked before it is used."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from colt.errors import InputError, StorageError
from colt.models.archive import (
    MANIFEST,
    PAGE,
    WEIGHTS,
    laid_out,
    laid_together,
    open_archive,
    parts_of,
    write_archive,
)
from colt.models.compiled import CompiledModel
from colt.models.manifest import (
    FIRST_SCHEMA,
    FIRST_SIZED_SCHEMA,
    LIBRARY,
    SIZED_SCHEMA,
    LayoutPart,
    Manifest,
    OthersPart,
    SizedManifest,
    SizePart,
    TensorPart,
    WeightPart,
)
from colt.models.report import table_of
from tests.helpers.manifests import bare

ARRAYS = [np.arange(10, dtype="float32"), np.arange(3, dtype="int8"), np.arange(100, dtype="float32").reshape(4, 25)]


def written(path: Path, **changes: object) -> Manifest:
    """A file with three weights."""
    data = [array.reshape(-1).view(np.uint8) for array in ARRAYS]
    manifest: Manifest = write_archive(
        path, msgspec.structs.replace(of_arrays(), **changes), {LIBRARY: b"a library"}, data
    )
    return manifest


def of_arrays() -> Manifest:
    """The manifest of a model with three weights."""
    return bare(
        inputs=(TensorPart(name="x", shape=(2,), dtype="float32"),),
        weights=laid_out([(array.shape, str(array.dtype)) for array in ARRAYS]),
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    manifest = written(path)
    archive = open_archive(path)
    assert archive.manifest == manifest
    assert archive.library(LIBRARY) == b"a library"
    archive.require_whole()
    for data, part, array in zip(parts_of(archive.weights(), manifest), manifest.weights, ARRAYS, strict=True):
        np.testing.assert_array_equal(data.view(part.dtype).reshape(part.shape), array, strict=True)
    assert [file.name for file in tmp_path.iterdir()] == ["m.colt"]


def test_weights_lie_where_they_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    manifest = written(path)
    archive = open_archive(path)
    assert archive.weights_at[0] % PAGE == 0
    assert all(part.offset % 64 == 0 for part in manifest.weights)
    assert all(data.ctypes.data % 64 == 0 for data in parts_of(archive.weights(), manifest))


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
    at = archive.libraries_at[LIBRARY][0] if part == LIBRARY else archive.weights_at[0]
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    changed = open_archive(path)
    with pytest.raises(InputError, match=f"{part} is damaged"):
        changed.require_whole()
    if part == LIBRARY:
        with pytest.raises(InputError, match=f"{part} is damaged"):
            changed.library(part)


def test_whichever_byte_is_changed_is_found_or_is_without_meaning(tmp_path: Path) -> None:
    """Each in turn, but for the padding: the file is refused, or all that is read of it is what was written."""
    path, changed = tmp_path / "m.colt", tmp_path / "changed.colt"
    manifest, content = written(path), path.read_bytes()
    weights, found = open_archive(path).weights().tobytes(), 0
    places = [at for at in range(len(content)) if any(content[max(0, at - 32) : at + 32])]
    assert len(places) < len(content) - PAGE // 8, "what is left out is padding"
    for at in places:
        changed.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            archive = open_archive(changed)
            library = archive.library(LIBRARY)
            archive.require_right(archive.weights())
        except InputError:
            found += 1
            continue
        assert (archive.manifest, library, archive.weights().tobytes()) == (manifest, b"a library", weights), at
    assert found > len(places) // 2


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (WeightPart(offset=0, shape=(10**6,), dtype="float32"), "outside"),
        (WeightPart(offset=-64, shape=(1,), dtype="float32"), "outside"),
        (WeightPart(offset=1, shape=(1,), dtype="float32"), "outside"),
        (WeightPart(offset=0, shape=(-4,), dtype="float32"), "is none"),
        (WeightPart(offset=0, shape=(1,), dtype="float99999"), "is none"),
        (WeightPart(offset=0, shape=(1,), dtype="int"), "is none"),
        (WeightPart(offset=0, shape=(1,), dtype="float32x4"), "is none"),
        (WeightPart(offset=0, shape=(1,), dtype="handle"), "is none"),
    ],
)
def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path, weight: WeightPart, said: str) -> None:
    """The manifest may be a stranger's."""
    path = tmp_path / "m.colt"
    written(path, weights=(weight,) * 3)
    with pytest.raises(InputError, match=said):
        open_archive(path)


def test_weights_take_the_bytes_of_their_type() -> None:
    """Digits in the name of a type are not always its bits."""
    types = ["bool", "uint16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2"]
    parts = laid_out([((64,), dtype) for dtype in types])
    assert [part.offset for part in parts] == [0, 64, 192, 320, 832, 896]


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"schema": 1}', b'{"schema": "one"}', b"[" * 10**5], ids=lambda content: content[:16]
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.colt"
    written(path)
    rewrite(path, MANIFEST, content)
    with pytest.raises(InputError, match="is not a compiled model, or is damaged"):
        open_archive(path)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    """A bit of each entry in the list of entries at the end says so."""
    path = tmp_path / "m.colt"
    written(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a compiled model, or is damaged"):
        open_archive(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer."""
    os.mkfifo(tmp_path / "m.colt")
    for path in (tmp_path / "m.colt", tmp_path):
        with pytest.raises(InputError, match="cannot be read: it is not a file"):
            open_archive(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threads": 0}, "its kernels use 0 threads"),
        ({"layout": "x", "layouts": (LayoutPart(name="y", ms=1.0, programs=1),)}, "its layout x is none of those"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    written(tmp_path / "m.colt", **changes)
    with pytest.raises(InputError, match=said):
        open_archive(tmp_path / "m.colt")


def test_a_layout_that_is_not_known_any_more_is_shown_by_its_name() -> None:
    compared = (LayoutPart(name="tiled", ms=1.0, programs=1), LayoutPart(name="other", ms=2.0, programs=1))
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table_of(msgspec.structs.replace(of_arrays(), layout="tiled", layouts=compared)))
    assert "convolutions are tiled: 1 ms at a guess, 2 ms other" in captured.get()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    written(path, schema=SIZED_SCHEMA + 1)
    with pytest.raises(InputError, match="this COLT reads 1, 2, 3, 4: compile it again"):
        open_archive(path)


def test_files_of_before_there_was_a_receipt_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    assert written(path, schema=FIRST_SCHEMA) == open_archive(path).manifest
    assert sized(path, schema=FIRST_SIZED_SCHEMA) == open_archive(path).manifest


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        written(tmp_path / "nowhere" / "m.colt")
    assert not list(tmp_path.iterdir())


def test_a_manifest_as_it_was_written_first_is_read(tmp_path: Path) -> None:
    """Files that were compiled before there were several sizes have it."""
    path = tmp_path / "m.colt"
    written(path)
    first = {
        "schema": 1,
        "name": "m",
        "inputs": [{"name": "x", "shape": [2], "dtype": "float32"}],
        "outputs": [],
        "target": "{}",
        "threads": 2,
        "needs": ["avx2"],
        "weights": [{"offset": 0, "shape": [10], "dtype": "float32"}],
        "tasks": [{"name": "t", "key": "k", "calls": 1, "by": "scout", "untuned_us": 3.0, "trials": 4}],
        "versions": {"colt": "0.1.0"},
        "seconds": {"tuning": 1.5},
        "trials": 4,
        "usd": 0.0,
        "products": "",
        "messages": [],
        "compared": {"against": "PyTorch", "errors": [0.0], "tolerance": 0.001, "ok": True},
        "timed": None,
        "sha256": {},
    }
    rewrite(path, MANIFEST, msgspec.json.encode(first))
    manifest = open_archive(path).manifest
    assert isinstance(manifest, Manifest)
    assert manifest.inputs[0].shape == (2,)
    assert manifest.is_right
    assert manifest.receipt is None


def rewrite(path: Path, name: str, content: bytes) -> None:
    """Put another entry in place of that name."""
    with zipfile.ZipFile(path) as old:
        entries = {one: old.read(one) for one in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for one, before in entries.items():
            new.writestr(one, content if one == name else before)


# ---- several sizes ----


def sized(path: Path, **changes: object) -> SizedManifest:
    """A file for two sizes and others: the second has a weight of the first, and the others one of each."""
    data = [array.reshape(-1).view(np.uint8) for array in ARRAYS]
    every = [[data[0], data[1]], [data[2], data[0].copy()], [data[1].copy(), data[2]]]
    shapes = [[ARRAYS[0], ARRAYS[1]], [ARRAYS[2], ARRAYS[0]], [ARRAYS[1], ARRAYS[2]]]
    bare = [
        msgspec.structs.replace(of_arrays(), weights=laid_out([(one.shape, str(one.dtype)) for one in arrays]))
        for arrays in shapes
    ]
    (first, second, others), kept = laid_together(list(zip(bare, every, strict=True)))
    manifest = SizedManifest(
        schema=SIZED_SCHEMA,
        name="m",
        inputs=(TensorPart(name="x", shape=("batch",), dtype="float32"),),
        parts=(
            SizePart(sizes={"batch": 1}, library="a.so", model=first),
            SizePart(sizes={"batch": 2}, library="b.so", model=second),
        ),
        others=OthersPart(library="c.so", model=others, limits={"batch": (1, 4)}),
    )
    libraries = {name: name.encode() for name in ("a.so", "b.so", "c.so")}
    written_as: SizedManifest = write_archive(path, msgspec.structs.replace(manifest, **changes), libraries, kept)
    return written_as


def test_models_of_several_sizes_have_their_weights_in_one_file_once(tmp_path: Path) -> None:
    path = tmp_path / "m.colt"
    manifest = sized(path)
    archive = open_archive(path)
    assert archive.manifest == manifest
    assert archive.weights_at[1] == 40 + 24 + 3 + 61 + 400, "each array once, at multiples of 64"
    weights = archive.weights()
    for model, numbers in zip(manifest.models.values(), ((0, 1), (2, 0), (1, 2)), strict=True):
        for data, part, number in zip(parts_of(weights, model), model.weights, numbers, strict=True):
            np.testing.assert_array_equal(data.view(part.dtype).reshape(part.shape), ARRAYS[number], strict=True)
    assert [archive.library(name) for name in manifest.models] == [b"a.so", b"b.so", b"c.so"]
    archive.require_whole()


def test_a_model_out_of_a_file_of_several_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Its weights lie elsewhere there than among those of all."""
    data = [array.reshape(-1).view(np.uint8) for array in ARRAYS]
    alone = [msgspec.structs.replace(of_arrays(), weights=laid_out([(one.shape, str(one.dtype))])) for one in ARRAYS]
    together, _ = laid_together([(manifest, [one]) for manifest, one in zip(alone, data, strict=True)])
    for manifest, one, array in zip(together, data, ARRAYS, strict=True):
        archive = open_archive(CompiledModel(manifest, b"a library", [one], None).save(tmp_path / "m.colt"))
        assert isinstance(archive.manifest, Manifest)
        (found,), (part,) = parts_of(archive.weights(), archive.manifest), archive.manifest.weights
        np.testing.assert_array_equal(found.view(part.dtype).reshape(part.shape), array, strict=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parts": ()}, "no models, or two of one library"),
        ({"others": OthersPart(library="a.so", model=of_arrays(), limits={})}, "two of one library"),
        ({"others": OthersPart(library="d.so", model=of_arrays(), limits={})}, "d.so"),
        ({"parts": (SizePart(sizes={}, library="a.so", model="no model"),)}, "not a compiled model"),
        (
            {
                "others": OthersPart(
                    library="c.so",
                    model=msgspec.structs.replace(
                        of_arrays(), weights=(WeightPart(offset=6400, shape=(1,), dtype="int8"),)
                    ),
                    limits={},
                )
            },
            "outside of its weights",
        ),
    ],
)
def test_damaged_manifests_of_several_sizes_are_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """The manifest may be a stranger's."""
    path = tmp_path / "m.colt"
    sized(path, **changes)
    with pytest.raises(InputError, match=said):
        open_archive(path)
