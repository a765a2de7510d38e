"""The model for other sizes, made in a process of its own: TVM may die of a model whose sizes are open.

Few models have been through TVM's passes like that, and some end the process where others raise an error. So may a
library that is called with a size that nobody has tried. The process imports, compiles and compares, and leaves the
model as a file; how it dies is a note of the compiled model then, and costs nothing else.

``python -m colt.models.others_apart FOLDER PARENT`` is that process.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from colt.models.compiled import CompiledModel
from colt.models.loading import load
from colt.models.options import CompileOptions
from colt.models.other_sizes import OtherSizes, compile_others
from colt.tvm.models.graph import OpenModel
from colt.tvm.own import command
from colt.util.interrupt import ENDLESS_S
from colt.util.process import Child, describe_status, die_with_parent
from colt.util.text import shown

_MODULE = "colt.models.others_apart"
_REQUEST, _STAGE, _ANSWER, _MODEL = "request.pickle", "stage.txt", "answer.json", "others.colt"
_LAST_WORDS_BYTES = 2000


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the process says of the model, if it lives: see :class:`OtherSizes`."""

    messages: tuple[str, ...]
    limits: dict[str, tuple[int, int]]


def others_apart(source: OpenModel, options: CompileOptions) -> OtherSizes:
    """What :func:`colt.models.other_sizes.compile_others` gives, however TVM takes it. ``source`` can be pickled."""
    with TemporaryDirectory(prefix="colt-others-") as name:
        folder = Path(name)
        (folder / _REQUEST).write_bytes(pickle.dumps((source, replace(options, on_event=()))))
        child = Child(command(_MODULE, str(folder), str(os.getpid())), env=os.environ)
        try:
            status = child.wait(ENDLESS_S)
            words = child.last_words(_LAST_WORDS_BYTES)
        finally:
            child.end()
        if status or not (folder / _ANSWER).exists():
            return OtherSizes((_epitaph(folder, status, words),))
        return _read(folder)


def _epitaph(folder: Path, status: int, words: str) -> str:
    """How the process died, and of what: the line that Python ends with, unless a signal has ended it."""
    place = folder / _STAGE
    stage = f", {place.read_text()}" if place.exists() else ""
    last = f": {shown(words.splitlines()[-1])}" if status > 0 and words else ""
    return (
        f"other sizes are refused: the process that compiles the model for them {describe_status(status)}{stage}{last}"
    )


def _read(folder: Path) -> OtherSizes:
    answer = msgspec.json.decode((folder / _ANSWER).read_bytes(), type=_Answer)
    if not (folder / _MODEL).exists():
        return OtherSizes(answer.messages)
    model = load(folder / _MODEL)  # its weights stay mapped when the file is gone
    assert isinstance(model, CompiledModel)
    model.manifest = msgspec.structs.replace(model.manifest, sha256={})
    return OtherSizes(answer.messages, model, answer.limits)


def main(arguments: list[str]) -> None:
    """Compile what the request asks for."""
    folder, parent = Path(arguments[0]), int(arguments[1])
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, options = pickle.loads((folder / _REQUEST).read_bytes())
    found = compile_others(source, options, (folder / _STAGE).write_text)
    if found.model is not None:
        found.model.save(folder / _MODEL)
    (folder / _ANSWER).write_bytes(msgspec.json.encode(_Answer(found.messages, dict(found.limits))))


if __name__ == "__main__":
    main(sys.argv[1:])
