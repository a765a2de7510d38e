"""A model that was compiled for several sizes: a call goes to the model of its size.

Of a size that it was not compiled for, it goes to a model that takes all others, untuned, if there is one. That was
compared with the original from the smallest to the largest size that it takes; beyond these, nothing is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colt.errors import InputError, StorageError
from colt.models.archive import laid_together, write_archive
from colt.models.compiled import CompiledModel, checked_path, fits, written
from colt.models.dependent_sizes import dependent_size
from colt.models.manifest import OthersPart, SizedManifest, TensorPart

Shapes = tuple[tuple[int, ...], ...]


class SizedModel:
    """Models of several sizes, called as one. It may be called from several threads."""

    def __init__(self, manifest: SizedManifest, models: Mapping[str, CompiledModel]) -> None:
        """``models`` are by the names of their libraries."""
        self.manifest = manifest
        self.models = models
        self._by_shapes = {
            tuple(one.shape for one in part.model.inputs): models[part.library] for part in manifest.parts
        }

    @property
    def report(self) -> SizedManifest:
        """What was found for each size, task by task, what it cost, and how it was judged."""
        return self.manifest

    @property
    def storage_failure(self) -> StorageError | None:
        """Why files of the runs that tuned it are missing, if a write failed."""
        return next((one.storage_failure for one in self.models.values() if one.storage_failure is not None), None)

    def __call__(self, *inputs: Any) -> Any:
        """The outputs, as of a :class:`CompiledModel`.

        Raises
        ------
        InputError
            There are more or fewer inputs than the model has, or one is of another type, or of a shape or size that
            the model does not take.
        """
        shapes = tuple(tuple(getattr(one, "shape", ())) for one in inputs)
        model = self._by_shapes.get(shapes)
        if model is None:
            tensors = len(inputs) == len(self.manifest.inputs) and all(hasattr(one, "shape") for one in inputs)
            model = self._other(shapes) if tensors else next(iter(self.models.values()))  # which says what it takes
        return model(*inputs)

    def _other(self, shapes: Shapes) -> CompiledModel:
        """The model for sizes that none was compiled for. Raises :class:`InputError`."""
        inputs, others = self.manifest.inputs, self.manifest.others
        if others is None or (problem := _problem(shapes, inputs, others)):
            given = ", ".join(map(str, map(list, shapes)))
            why = "" if others is None else f": {problem}"
            raise InputError(f"{self.manifest.name} takes {self._taken()}; it was given {given}{why}")
        return self.models[others.library]

    def _taken(self) -> str:
        """The shapes and sizes of its inputs, in words."""
        inputs = ", ".join(written(one.dtype, one.shape) for one in self.manifest.inputs)
        sizes = "; ".join(in_words(part.sizes) for part in self.manifest.parts)
        others = self.manifest.others
        limits = "nothing else" if others is None else f"others with {in_limits(others)}"
        return f"{inputs}, compiled for {sizes}, and {limits}"

    def save(self, path: str | Path) -> Path:
        """Write the models to a file, as :meth:`CompiledModel.save`."""
        path = checked_path(path)
        contents = {name: self.models[name] for name in self.manifest.models}
        for model in contents.values():
            model.require_right_weights()
        found, weights = laid_together([(one.manifest, one.weights) for one in contents.values()])
        manifest = self.manifest.with_models(dict(zip(contents, found, strict=True)))
        libraries = {name: one.content for name, one in contents.items()}
        self.manifest = write_archive(path, manifest, libraries, weights)
        return path


def in_words(sizes: Mapping[str, int]) -> str:
    """Sizes by name, such as ``batch=8, seq=128``."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def in_limits(others: OthersPart) -> str:
    """The smallest and largest sizes in words, such as ``batch from 1 to 64``."""
    return ", ".join(f"{name} from {least} to {most}" for name, (least, most) in others.limits.items())


def _problem(shapes: Shapes, inputs: Sequence[TensorPart], others: OthersPart) -> str:
    """Why inputs of these shapes are none that the model for other sizes takes; empty if they are."""
    sizes = dict[str, int]()
    for shape, wanted in zip(shapes, inputs, strict=True):
        if not fits(shape, wanted):
            return f"input {wanted.name} is of another shape"
        for size, name in zip(shape, wanted.shape, strict=True):
            if isinstance(name, str) and sizes.setdefault(name, size) != size:
                return f"{name} is {sizes[name]} and {size}"
    named = {name: size for name, size in sizes.items() if name in others.limits}
    for text, size in sizes.items():
        if text not in named and dependent_size(text, named) not in (None, size):
            return f"{text} is {size} for {in_words(named)}"
    for name, (least, most) in others.limits.items():
        if not least <= sizes.get(name, least) <= most:
            return f"{name} is {sizes[name]}"
    return ""
