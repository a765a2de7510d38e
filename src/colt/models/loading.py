"""A compiled model from its file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.machine import detect
from colt.models.archive import open_archive, parts_of
from colt.models.checked import AT_ONCE, CheckOnce
from colt.models.compiled import CompiledModel
from colt.models.manifest import AnyManifest, Manifest, SizedManifest
from colt.models.sized import SizedModel
from colt.tvm.own import leave_torch_out


def load(path: str | Path, check: bool = True) -> CompiledModel | SizedModel:
    """Load a compiled model.

    Nothing of a damaged file runs: manifest and libraries are compared with their checksums here, and so are weights of
    up to 128 MB; larger ones before the first call, which reads them anyway. Without ``check`` no weights are.

    Raises
    ------
    InputError
        The file is none, or is damaged, or this machine lacks instructions that its code uses. The first call raises it
        for large weights that are damaged.
    """
    leave_torch_out()
    archive = open_archive(Path(path))
    _require_instructions(archive.manifest, path)
    contents = {name: archive.library(name) for name in archive.manifest.models}
    weights = archive.weights()
    unchecked = CheckOnce(partial(archive.require_right, weights)) if check else None
    if unchecked is not None and weights.nbytes <= AT_ONCE:
        unchecked()
        unchecked = None
    models = {
        name: _model(manifest, contents[name], weights, unchecked) for name, manifest in archive.manifest.models.items()
    }
    if isinstance(archive.manifest, SizedManifest):
        return SizedModel(archive.manifest, models)
    return next(iter(models.values()))


def _require_instructions(manifest: AnyManifest, path: str | Path) -> None:
    needed = {flag for one in manifest.models.values() for flag in one.needs}
    if missing := sorted(needed - set(detect().flags)):
        raise InputError(f"{path} was compiled for a processor with {', '.join(missing)}, which this one lacks")


def _model(manifest: Manifest, content: bytes, weights: Any, unchecked: CheckOnce | None) -> CompiledModel:
    from colt.tvm.models.library import ModelLibrary, mapped_tensor

    parts = parts_of(weights, manifest)
    tensors = [mapped_tensor(data, one.shape, one.dtype) for data, one in zip(parts, manifest.weights, strict=True)]
    library = ModelLibrary(content, tensors, manifest.threads, _outputs(manifest))
    return CompiledModel(manifest, content, parts, library, unchecked)


def _outputs(manifest: Manifest) -> list[tuple[tuple[int, ...], str]]:
    """Shapes and types of the outputs; none where sizes are open."""
    shapes = [tuple(size for size in one.shape if isinstance(size, int)) for one in manifest.outputs]
    if any(len(shape) < len(one.shape) for shape, one in zip(shapes, manifest.outputs, strict=True)):
        return []
    return [(shape, one.dtype) for shape, one in zip(shapes, manifest.outputs, strict=True)]
