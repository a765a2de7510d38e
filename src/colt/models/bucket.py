"""A model of a file that leaves sizes open, compiled for several: a bucket of sizes, and all others untuned.

The sizes are tuned one after the other, so that the programs of each begin from what the records have of the sizes
before. The first has twice the share of the budget that each of the others has: of minutes and trials, and of dollars,
calls and tokens of language models. What a size leaves over is for the next ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.models.compile import compile_graph, compile_model
from colt.models.compiled import CompiledModel
from colt.models.manifest import SIZED_SCHEMA, Manifest, OthersPart, SizedManifest, SizePart, TensorPart
from colt.models.options import LEAST_MINUTES, CompileOptions
from colt.models.other_sizes import OtherSizes
from colt.models.others_apart import others_apart
from colt.models.receipt import used_up
from colt.models.sized import SizedModel, in_words
from colt.tvm.models.graph import Graph, OpenModel
from colt.tvm.models.quantised import with_integer_products
from colt.tvm.models.sources import open_model
from colt.util.interrupt import Interrupt

_FIRST = 2
"""The share of the first size, where those of the others are 1."""
_OTHERS = "model-others.so"


def compile_any(model: Any, example: Any, options: CompileOptions) -> CompiledModel | SizedModel:
    """Compile a model: for the sizes that it has, or, if the options name some, for those.

    Raises as :func:`colt.models.compile.compile_model`; and :class:`InputError` if the model leaves no such sizes open.
    """
    if not options.sizes:
        return compile_model(model, example, options)
    return compile_bucket(open_model(model, example, options.shapes, list(options.sizes)), options)


def compile_bucket(source: OpenModel, options: CompileOptions) -> SizedModel:
    """Compile a model whose sizes are open for those of the options, and untuned for others."""
    others = others_apart(source, options)
    return _together(source, options.bucket, _compiled(source, options), others)


def _compiled(source: OpenModel, options: CompileOptions) -> list[CompiledModel]:
    """The models of the sizes, in order; of fewer if it was interrupted, but of the first one at least.

    A signal ends the tuning of the size that is under way, and no other begins. A second one drops that size, too, and
    leaves those that are finished."""
    models, interrupt = list[CompiledModel](), Interrupt()
    with ExitStack() as stack:
        for sizes in options.bucket:
            share = _share(options, sizes, [one.manifest for one in models])
            try:
                models.append(compile_graph(_loading(source, sizes), share, interrupt))
            except KeyboardInterrupt:
                if not models:
                    raise
                break
            if interrupt.requested:
                break
            if len(models) == 1:
                stack.enter_context(interrupt)  # there is something to keep, whatever the next size is at
    return models


def _loading(source: OpenModel, sizes: Mapping[str, int]) -> Any:
    def loaded() -> Graph:
        try:
            return with_integer_products(source.at(sizes))
        except InputError as error:
            raise InputError(f"for {in_words(sizes)}: {error}") from None

    return loaded


def _share(options: CompileOptions, sizes: Mapping[str, int], before: Sequence[Manifest]) -> CompileOptions:
    """The options for one of the sizes: its share of what those before have left of the budget."""
    for one in before:
        options = options.less(used_up(one))
    mine = 1 if before else _FIRST
    whole = mine + len(options.bucket) - len(before) - 1
    folder = None if options.run_dir is None else Path(options.run_dir)
    usd, calls, tokens = options.max_usd, options.max_calls, options.max_tokens
    trials = None if options.trials is None else round(options.trials * mine / whole)
    return replace(
        options,
        sizes=None,
        minutes=max(LEAST_MINUTES, options.minutes * mine / whole),
        trials=None if trials is None else max(options.fewest_trials, trials),
        run_dir=None if folder is None else _folder(folder, sizes),
        max_usd=None if usd is None else Decimal(str(usd)) * mine / whole,
        max_calls=None if calls is None else calls * mine // whole,
        max_tokens=None if tokens is None else tokens * mine // whole,
    )


def _folder(run_dir: Path, sizes: Mapping[str, int]) -> Path:
    """Where the run of a size goes: in a folder of its own."""
    return run_dir / "-".join(f"{_plain(name)}{size}" for name, size in sizes.items())


def _plain(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


def _together(
    source: OpenModel, bucket: Sequence[Mapping[str, int]], models: Sequence[CompiledModel], others: OtherSizes
) -> SizedModel:
    """All of them as one model, with a note of those that there is none for."""
    missing, bucket = bucket[len(models) :], bucket[: len(models)]
    first = models[0].manifest
    libraries = [f"model-{number}.so" for number in range(1, len(models) + 1)]
    parts = tuple(
        SizePart(sizes=dict(sizes), library=name, model=model.manifest)
        for sizes, name, model in zip(bucket, libraries, models, strict=True)
    )
    named = dict(zip(libraries, models, strict=True))
    part = None
    if others.model is not None:
        part = OthersPart(library=_OTHERS, model=others.model.manifest, limits=dict(others.limits))
        named[_OTHERS] = others.model
    manifest = SizedManifest(
        schema=SIZED_SCHEMA,
        name=first.name,
        inputs=tuple(_opened(source, first)),
        parts=parts,
        others=part,
        messages=(*others.messages, *_interrupted(missing)),
    )
    return SizedModel(manifest, named)


def _interrupted(missing: Sequence[Mapping[str, int]]) -> Iterator[str]:
    if missing:
        yield f"it was interrupted before it was compiled for {'; '.join(map(in_words, missing))}"


def _opened(source: OpenModel, manifest: Manifest) -> Iterator[TensorPart]:
    """The inputs, with the names of their sizes."""
    for one, axes in zip(manifest.inputs, source.axes, strict=True):
        yield TensorPart(name=one.name, shape=axes, dtype=one.dtype)
