"""How a sketch differs from its siblings, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from colt.tvm.space.traces import Step, TraceView, Var

Features = dict[str, str]
"""What is done to each block that has a structure of its own."""

_UNTOUCHED = "untiled"


def features(view: TraceView) -> Features:
    """What the trace does to each block, apart from its open decisions."""
    found: Features = {}
    for step in view.steps:
        described = _describe(view, step)
        if described is not None:
            block, text = described
            found[block] = f"{found[block]}, {text}" if block in found else text
    return found


def summarise(siblings: Sequence[Features]) -> tuple[list[str], str]:
    """One line for each sibling on what sets it apart, and one on what all have in common."""
    blocks = list(dict.fromkeys(block for sibling in siblings for block in sibling))
    common = {block for block in blocks if len({sibling.get(block) for sibling in siblings}) == 1}
    lines = [
        "; ".join(f"{block} {sibling.get(block, _UNTOUCHED)}" for block in blocks if block not in common)
        for sibling in siblings
    ]
    shared = "; ".join(f"{block} {siblings[0][block]}" for block in blocks if block in common)
    alone = shared or "loops in the program's own order"
    return [line or alone for line in lines], shared


def _describe(view: TraceView, step: Step) -> tuple[str, str] | None:
    match step.kind:
        case "ComputeInline":
            return _block(view, step.inputs[0]), "inlined"
        case "ReverseComputeInline":
            return _block(view, step.inputs[0]), "inlined into its producer"
        case "RFactor":
            return _rfactor(view, step)
        case "Annotate" if step.attrs[0] == "meta_schedule.tiling_structure":
            return _block(view, step.inputs[0]), f"tiled, {_reuse(view, step.inputs[0])}"
        case "Annotate" if step.attrs[0] == "meta_schedule.auto_tensorize":
            return _block(view, step.inputs[0]), f"tensorised with {step.inputs[1]}"
        case "TransformLayout":
            return _block(view, step.inputs[0]), "operand packed"
        case _:
            return None


def _rfactor(view: TraceView, step: Step) -> tuple[str, str]:
    loop = step.inputs[0]
    split = view.maker(loop)
    if split is None or split.kind != "Split":
        return _loop_block(view, loop), "in partial results"
    part = "inner" if split.outputs.index(loop) == len(split.outputs) - 1 else "outer"
    return _loop_block(view, loop), f"in partial results over the {part} part of its reduction"


def _reuse(view: TraceView, block: Var) -> str:
    """Where the tiled block's results go."""
    for step in view.steps:
        if step.kind != "ReverseComputeAt" or _loop_block(view, step.inputs[1]) != _block(view, block):
            continue
        split = view.maker(step.inputs[1])
        level = 1 + (
            split.outputs.index(step.inputs[1]) if split is not None and step.inputs[1] in split.outputs else 0
        )
        maker = view.maker(step.inputs[0])
        if maker is not None and maker.kind == "CacheWrite":
            return f"sums in a buffer written back inside tile level {level}"
        return f"consumer computed inside tile level {level}"
    return "sums in its output"


def _block(view: TraceView, block: Var) -> str:
    """A block's name as far as the trace alone tells."""
    maker = view.maker(block)
    if maker is None:
        return "a block"
    if maker.kind == "GetSBlock":
        return str(maker.attrs[0])
    if maker.kind == "Blockize":
        return _loop_block(view, maker.inputs[0])
    if maker.kind == "RFactor":
        return f"{_loop_block(view, maker.inputs[0])}_rf"
    source = next((value for value in maker.inputs if isinstance(value, Var)), None)
    return "a block" if source is None else f"{maker.kind} of {_block(view, source)}"


def _loop_block(view: TraceView, loop: Var) -> str:
    """The name of the block that a loop was found or made around."""
    block = view.block_of(loop)
    return "a block" if block is None else _block(view, block)
