"""A compiled model from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.machine import detect
from colt.models.archive import Archive, open_archive, parts_of
from colt.models.compiled import CompiledModel
from colt.models.manifest import AnyManifest, Manifest, SizedManifest
from colt.models.sized import SizedModel
from colt.tvm.own import leave_torch_out


def load(path: str | Path) -> CompiledModel | SizedModel:
    """Load a compiled model.

    Raises
    ------
    InputError
        The file is none, or is damaged, or this machine lacks instructions that its code uses.
    """
    leave_torch_out()
    archive = open_archive(Path(path))
    _require_instructions(archive.manifest, path)
    weights = archive.weights()
    models = {name: _model(archive, name, one, weights) for name, one in archive.manifest.models.items()}
    if isinstance(archive.manifest, SizedManifest):
        return SizedModel(archive.manifest, models)
    return next(iter(models.values()))


def _require_instructions(manifest: AnyManifest, path: str | Path) -> None:
    needed = {flag for one in manifest.models.values() for flag in one.needs}
    if missing := sorted(needed - set(detect().flags)):
        raise InputError(f"{path} was compiled for a processor with {', '.join(missing)}, which this one lacks")


def _model(archive: Archive, name: str, manifest: Manifest, weights: Any) -> CompiledModel:
    from colt.tvm.models.library import ModelLibrary, mapped_tensor

    content, parts = archive.library(name), parts_of(weights, manifest)
    tensors = [mapped_tensor(data, one.shape, one.dtype) for data, one in zip(parts, manifest.weights, strict=True)]
    return CompiledModel(manifest, content, parts, ModelLibrary(content, tensors, manifest.threads))
