"""A compiled model as one file: library, weights and manifest, in a ZIP archive without compression.

The weights lie at multiples of a page, so that they are mapped into memory where the file is, and not copied. Whatever
is in the file is a stranger's: it is checked before it is used. The library is native code, though, which no check can
make harmless; a model is loaded from whom one would run a program of.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from colt.errors import InputError

SCHEMA = 1
MANIFEST, LIBRARY, WEIGHTS = "manifest.json", "model.so", "weights.bin"
PAGE = 4096
_ALIGNMENT = 64
"""Each weight lies at a multiple of so many bytes, as kernels expect of their arguments."""
_HEADER = 30
"""Bytes of a local header of a ZIP archive, before the name."""
_DATE = (2020, 1, 1, 0, 0, 0)
_LARGEST_MANIFEST = 64 << 20


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the manifest's parts."""


class TensorPart(_Part, frozen=True, kw_only=True):
    """An input or an output of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class WeightPart(_Part, frozen=True, kw_only=True):
    """Where one argument of the library lies among the weights."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class TaskPart(_Part, frozen=True, kw_only=True):
    """One of the model's programs: how often a run calls it, and what it takes each time, in microseconds."""

    name: str
    key: str
    calls: int
    flops: int | None = None
    untuned_us: float | None = None
    tuned_us: float | None = None
    """What a call takes alone, with weights that are cold; see ``model_us``."""
    model_us: float | None = None
    """What a call takes in the model, if it was timed there."""
    roofline_share: float | None = None
    trials: int = 0
    by: str = ""
    """Who found the schedule; empty if it is as it was imported."""
    why_not: str = ""
    """Why it is as it was imported, if it is."""
    form: str = ""
    """What its sums are called, if they are others than were imported."""
    form_error: float | None = None
    """How far these are off on random inputs, relative to the largest value."""

    @property
    def us(self) -> float | None:
        """What it takes alone."""
        return self.untuned_us if self.tuned_us is None else self.tuned_us


class ComparedPart(_Part, frozen=True, kw_only=True):
    """What the outputs were compared with, and the largest error of each, relative to the largest value of it."""

    against: str
    errors: tuple[float, ...]
    tolerance: float
    ok: bool


class WholePart(_Part, frozen=True, kw_only=True):
    """What the whole takes in milliseconds, tuned and untuned in turn, the medians; and the speed-up, with the interval
    of 95 %."""

    tuned_ms: float
    untuned_ms: float | None = None
    speedup: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = "not compared"


class Manifest(_Part, frozen=True, kw_only=True):
    """What a compiled model is: read before anything of it is loaded."""

    schema: int
    name: str
    inputs: tuple[TensorPart, ...]
    outputs: tuple[TensorPart, ...]
    target: str
    threads: int
    needs: tuple[str, ...]
    """Flags of the processor, as Linux calls them, that its code may use."""
    weights: tuple[WeightPart, ...]
    tasks: tuple[TaskPart, ...]
    versions: dict[str, str]
    seconds: dict[str, float]
    """Where the time of compiling went."""
    trials: int
    usd: float
    products: str = ""
    """The type that operands of products of float32 are rounded to; empty if they are not."""
    messages: tuple[str, ...] = ()
    compared: ComparedPart | None = None
    timed: WholePart | None = None
    sha256: dict[str, str] = {}
    """The checksums of the library and of the weights."""

    def to_json(self) -> str:
        """Readable JSON."""
        return msgspec.json.format(msgspec.json.encode(self)).decode()


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that was opened: its manifest, and where its parts begin."""

    path: Path
    manifest: Manifest
    library_at: tuple[int, int]
    """Offset and size in bytes, as for the weights."""
    weights_at: tuple[int, int]

    def library(self) -> bytes:
        """The shared library. Raises :class:`InputError` if it is not the one that was written."""
        with open(self.path, "rb") as file:
            file.seek(self.library_at[0])
            content = file.read(self.library_at[1])
        self._require(LIBRARY, hashlib.sha256(content).hexdigest())
        return content

    def require_whole(self) -> None:
        """Read the weights. Raises :class:`InputError` if they are not those that were written."""
        digest, left = hashlib.sha256(), self.weights_at[1]
        with open(self.path, "rb") as file:
            file.seek(self.weights_at[0])
            while left and (block := file.read(min(left, 1 << 22))):
                digest.update(block)
                left -= len(block)
        self._require(WEIGHTS, digest.hexdigest())

    def _require(self, part: str, found: str) -> None:
        if self.manifest.sha256.get(part) != found:
            raise InputError(f"{self.path}: {part} is damaged: its checksum is not the one in the manifest")

    def weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights as bytes, mapped: pages are read when they are first used, and shared among processes. They are
        copied where they do not lie as they were written, since somebody has packed the archive anew."""
        offset, size = self.weights_at
        if not size:
            return [np.zeros(0, np.uint8) for _ in self.manifest.weights]
        with open(self.path, "rb") as file:
            if offset % _ALIGNMENT == 0:
                whole = mmap.mmap(file.fileno(), offset + size, access=mmap.ACCESS_COPY)
            else:
                whole, begins, offset = mmap.mmap(-1, size), offset, 0
                file.seek(begins)
                file.readinto(whole)
        data = np.frombuffer(whole, np.uint8, size, offset)
        return [data[one.offset : one.offset + _size(one)] for one in self.manifest.weights]


def laid_out(weights: Sequence[tuple[Sequence[int], str]]) -> tuple[WeightPart, ...]:
    """Where weights of these shapes and types lie."""
    parts, offset = list[WeightPart](), 0
    for shape, dtype in weights:
        parts.append(WeightPart(offset=offset, shape=tuple(shape), dtype=dtype))
        offset = _aligned(offset + _size(parts[-1]), _ALIGNMENT)
    return tuple(parts)


def write_archive(path: Path, manifest: Manifest, library: bytes, weights: Sequence[np.ndarray[Any, Any]]) -> Manifest:
    """Write the file completely or not at all; the manifest as it was written.

    ``weights`` are the bytes of those that the manifest lists. Raises :class:`InputError`.
    """
    digest = hashlib.sha256()
    for block in _blocks(weights):
        digest.update(block)
    sums = {LIBRARY: hashlib.sha256(library).hexdigest(), WEIGHTS: digest.hexdigest()}
    complete = msgspec.structs.replace(manifest, sha256=sums)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(MANIFEST, _DATE), msgspec.json.format(msgspec.json.encode(complete)))
            archive.writestr(zipfile.ZipInfo(LIBRARY, _DATE), library)
            with archive.open(_at_page(archive, WEIGHTS), "w", force_zip64=True) as file:
                for block in _blocks(weights):
                    file.write(block)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return complete


def open_archive(path: Path) -> Archive:
    """Open a file and check all that can be checked without reading its weights. Raises :class:`InputError`."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
                raise InputError(f"{path} is not a compiled model: its manifest is too large")
            places = {name: _place(archive.getinfo(name), file) for name in (MANIFEST, LIBRARY, WEIGHTS)}
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, NotImplementedError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a compiled model, or is damaged: {error}") from None
    if manifest.schema != SCHEMA:
        raise InputError(f"{path} is of schema {manifest.schema}; this COLT reads {SCHEMA}: compile it again")
    size = places[WEIGHTS][1]
    for one in manifest.weights:
        if one.offset % _ALIGNMENT or not 0 <= one.offset <= one.offset + _size(one) <= size:
            raise InputError(f"{path} is damaged: a weight lies outside of its weights")
    return Archive(path, manifest, places[LIBRARY], places[WEIGHTS])


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
    bits = "".join(filter(str.isdigit, weight.dtype)) or "8"
    if len(bits) > 3 or any(extent < 0 for extent in weight.shape):
        raise InputError(f"a weight of type {weight.dtype[:20]!r} and shape {weight.shape} is none")
    return math.prod(weight.shape) * max(8, int(bits)) // 8
