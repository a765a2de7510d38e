"""A compiled model as one file: libraries, weights and manifest, in a ZIP archive without compression.

There is a library for each size that the model was compiled for, and one file of weights for all of them. The weights
lie at multiples of a page, so that they are mapped into memory where the file is, and not copied. Whatever is in the
file is a stranger's: it is checked before it is used. A library is native code, though, which no check can make
harmless; a model is loaded from whom one would run a program of.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from colt.errors import InputError, StorageError
from colt.models.manifest import (
    FIRST_SCHEMA,
    FIRST_SIZED_SCHEMA,
    SCHEMA,
    SIZED_SCHEMA,
    AnyManifest,
    Manifest,
    SizedManifest,
    WeightPart,
)
from colt.util.files import open_file, replacing
from colt.util.text import counted, shown

MANIFEST, WEIGHTS = "manifest.json", "weights.bin"
PAGE = 4096
_ALIGNMENT = 64
"""Each weight lies at a multiple of so many bytes, as kernels expect of their arguments."""
_HEADER = 30
"""Bytes of a local header of a ZIP archive, before the name."""
_DATE = (2020, 1, 1, 0, 0, 0)
_LARGEST_MANIFEST = 64 << 20
_DAMAGED = (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, ValueError, EOFError)
"""What reading a ZIP archive raises, if that is damaged or encrypted."""
_DTYPE = re.compile(
    r"bool|u?int(?P<whole>8|16|32|64)|bfloat(?P<brief>16)|float(?P<float>16|32|64)"
    r"|float8_(e3m4|e4m3(b11fnuz|fn|fnuz)?|e5m2(fnuz)?|e8m0fnu)"
)
"""Types that weights may have, with their bits if they are not 8."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that was opened: its manifest, and where its parts begin."""

    path: Path
    manifest: AnyManifest
    libraries_at: Mapping[str, tuple[int, int]]
    """Offsets and sizes in bytes, by name; as for the weights."""
    weights_at: tuple[int, int]

    def library(self, name: str) -> bytes:
        """A shared library. Raises :class:`InputError` if it is not the one that was written."""
        offset, size = self.libraries_at[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            content = file.read(size)
        self._require(name, hashlib.sha256(content).hexdigest())
        return content

    def require_whole(self) -> None:
        """Read libraries and weights. Raises :class:`InputError` if they are not those that were written."""
        for name in self.libraries_at:
            self.library(name)
        self.require_right(self.weights())

    def require_right(self, weights: np.ndarray[Any, Any]) -> None:
        """Raises :class:`InputError` if these weights of the file are not those that were written. All of them are
        read for that."""
        self._require(WEIGHTS, hashlib.sha256(weights.data).hexdigest())

    def _require(self, part: str, found: str) -> None:
        if self.manifest.sha256.get(part) != found:
            raise InputError(f"{self.path}: {part} is damaged: its checksum is not the one in the manifest")

    def weights(self) -> np.ndarray[Any, Any]:
        """All weights as bytes, mapped: pages are read when they are first used, and shared among processes. They are
        copied where they do not lie as they were written, since somebody has packed the archive anew."""
        offset, size = self.weights_at
        if not size:
            return np.zeros(0, np.uint8)
        with open(self.path, "rb") as file:
            if offset % _ALIGNMENT == 0:
                whole = mmap.mmap(file.fileno(), offset + size, access=mmap.ACCESS_COPY)
            else:
                whole, begins, offset = mmap.mmap(-1, size), offset, 0
                file.seek(begins)
                file.readinto(whole)
        return np.frombuffer(whole, np.uint8, size, offset)


def parts_of(weights: np.ndarray[Any, Any], manifest: Manifest) -> list[np.ndarray[Any, Any]]:
    """The weights of one model among all of the file, one by one, not copied."""
    return [weights[one.offset : one.offset + _size(one)] for one in manifest.weights]


def laid_out(weights: Sequence[tuple[Sequence[int], str]]) -> tuple[WeightPart, ...]:
    """Where weights of these shapes and types lie."""
    parts, offset = list[WeightPart](), 0
    for shape, dtype in weights:
        parts.append(WeightPart(offset=offset, shape=tuple(shape), dtype=dtype))
        offset = _aligned(offset + _size(parts[-1]), _ALIGNMENT)
    return tuple(parts)


def laid_together(
    models: Sequence[tuple[Manifest, Sequence[np.ndarray[Any, Any]]]],
) -> tuple[list[Manifest], list[np.ndarray[Any, Any]]]:
    """Several models, each with the bytes of its weights, whose weights lie in one file: the manifests, and what lies
    in the file. Equal weights are there once."""
    offsets, kept, end = dict[bytes, int](), list[np.ndarray[Any, Any]](), 0
    found = list[Manifest]()
    for manifest, weights in models:
        parts = list[WeightPart]()
        for part, data in zip(manifest.weights, weights, strict=True):
            digest = hashlib.sha256(data.data).digest()
            if digest not in offsets:
                offsets[digest] = _aligned(end, _ALIGNMENT)
                end = offsets[digest] + data.nbytes
                kept.append(data)
            parts.append(msgspec.structs.replace(part, offset=offsets[digest]))
        found.append(msgspec.structs.replace(manifest, weights=tuple(parts)))
    return found, kept


def write_archive(
    path: Path, manifest: AnyManifest, libraries: Mapping[str, bytes], weights: Sequence[np.ndarray[Any, Any]]
) -> Any:
    """Write the file completely or not at all; the manifest as it was written.

    ``libraries`` are by name, and ``weights`` the bytes of those that the manifest lists. Raises :class:`StorageError`.
    """
    digest = hashlib.sha256()
    for block in _blocks(weights):
        digest.update(block)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in libraries.items()}
    complete = msgspec.structs.replace(manifest, sha256={**sums, WEIGHTS: digest.hexdigest()})
    try:
        with (
            replacing(path, durable=False) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        ):
            archive.writestr(zipfile.ZipInfo(MANIFEST, _DATE), complete.to_json())
            for name, content in libraries.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), content)
            with archive.open(_at_page(archive, WEIGHTS), "w", force_zip64=True) as file:
                for block in _blocks(weights):
                    file.write(block)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from None
    return complete


class _Head(msgspec.Struct, frozen=True):
    """What every manifest has."""

    schema: int


_KINDS: dict[int, type[AnyManifest]] = {
    FIRST_SCHEMA: Manifest,
    FIRST_SIZED_SCHEMA: SizedManifest,
    SCHEMA: Manifest,
    SIZED_SCHEMA: SizedManifest,
}


def open_archive(path: Path) -> Archive:
    """Open a file and check all that can be checked without reading its weights. Raises :class:`InputError`."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
                raise InputError(f"{path} is not a compiled model: its manifest is too large")
            _place(archive.getinfo(MANIFEST), file)
            content = archive.read(MANIFEST)
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema not in _KINDS:
                known = ", ".join(map(str, _KINDS))
                raise InputError(f"{path} is of schema {schema}; this COLT reads {known}: compile it again")
            manifest = msgspec.json.decode(content, type=_KINDS[schema])
            libraries = {name: _place(archive.getinfo(name), file) for name in manifest.models}
            weights = _place(archive.getinfo(WEIGHTS), file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (*_DAMAGED, msgspec.DecodeError) as error:
        raise InputError(f"{path} is not a compiled model, or is damaged: {error}") from None
    for one in _listed(manifest, path):
        if one.offset % _ALIGNMENT or not 0 <= one.offset <= one.offset + _size(one) <= weights[1]:
            raise InputError(f"{path} is damaged: a weight lies outside of its weights")
    return Archive(path, manifest, libraries, weights)


def _listed(manifest: AnyManifest, path: Path) -> Iterator[WeightPart]:
    """All weights that a manifest lists. Raises :class:`InputError` if it lists no models, or two of one library, or
    says of one what cannot be."""
    if isinstance(manifest, SizedManifest):
        names = [one.library for one in manifest.parts]
        if not names or len(manifest.models) != len(names) + (manifest.others is not None):
            raise InputError(f"{path} is damaged: it has no models, or two of one library")
    for model in manifest.models.values():
        if model.threads < 1:
            raise InputError(f"{path} is damaged: its kernels use {counted(model.threads, 'thread')}")
        if model.layouts and model.layout not in [one.name for one in model.layouts]:
            raise InputError(f"{path} is damaged: its layout {shown(model.layout)} is none of those compared")
        yield from model.weights


def _place(entry: zipfile.ZipInfo, file: Any) -> tuple[int, int]:
    """Where the content of an entry begins, and its size. Raises ValueError if it is compressed or cut off."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    file.seek(entry.header_offset)
    header = file.read(_HEADER)
    if len(header) < _HEADER:
        raise ValueError(f"{entry.filename} is cut off")
    start = entry.header_offset + _HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    if start + entry.file_size > os.fstat(file.fileno()).st_size:
        raise ValueError(f"{entry.filename} is cut off")
    return start, entry.file_size


def _at_page(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """An entry whose content begins at a page: what its header lacks is an extra field of zeros."""
    entry = zipfile.ZipInfo(name, _DATE)
    longer = 20  # zipfile adds a field of so many bytes for sizes of 64 bits
    begins = archive.start_dir + _HEADER + len(name) + longer
    padding = -(begins + 4) % PAGE
    entry.extra = (0xC017).to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
    return entry


def _blocks(weights: Sequence[np.ndarray[Any, Any]]) -> Any:
    """The content of the weights, and what lies between them."""
    at = 0
    for array in weights:
        if gap := _aligned(at, _ALIGNMENT) - at:
            yield bytes(gap)
        at += gap
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        at += array.nbytes


def _aligned(offset: int, alignment: int) -> int:
    return offset + -offset % alignment


def _size(weight: WeightPart) -> int:
    """Bytes. Raises :class:`InputError` for what no weight is."""
    found = _DTYPE.fullmatch(weight.dtype)
    if found is None or any(extent < 0 for extent in weight.shape):
        raise InputError(f"a weight of type {weight.dtype[:20]!r} and shape {weight.shape} is none")
    return math.prod(weight.shape) * int(found["whole"] or found["brief"] or found["float"] or 8) // 8
