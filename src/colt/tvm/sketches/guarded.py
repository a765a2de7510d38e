"""A schedule rule that survives its own crashes.

Some of MetaSchedule's rules throw on some programs, and one throw ends the generation of the whole space. (In SwiGLU as
one PrimFunc, multi-level tiling moves a consumer that another block has taken already.) A guarded rule is tried block
by block. If it throws, its substitutes schedule that block; where none can, the block is left as it is, for the rules
after it: the last makes its outer loops parallel and its inner ones vectors. Either way the crash is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.schedule_rule import MultiLevelTiling, PyScheduleRule, ReuseType

from colt.tvm.refusals import TVM_ERRORS
from colt.util.text import first_line

_PRIMITIVE = re.compile(r"schedule primitive '([^']+)'")


class Crashes:
    """The crashes during one generation."""

    def __init__(self) -> None:
        self._found: dict[str, _Unfit] = {}

    def add(self, rule: str, block: str, error: BaseException, substituted: bool) -> None:
        unfit = self._found.setdefault(block, _Unfit())
        unfit.rules.setdefault(rule, why(error))
        unfit.substituted |= substituted

    def messages(self) -> tuple[str, ...]:
        """One line for each block, in the order of their first crash, however often a rule crashed on it."""
        return tuple(f"block {block}: {unfit.words()}" for block, unfit in self._found.items())


@dataclass(slots=True)
class _Unfit:
    """The rules that crash on a block, each with its reason, and whether a substitute schedules it."""

    rules: dict[str, str] = field(default_factory=dict)
    substituted: bool = False

    def words(self) -> str:
        instead = "COLT tiles it in two other ways" if self.substituted else "it is left to the other rules"
        reasons = "; ".join(dict.fromkeys(self.rules.values()))
        fit = "rule {} does not fit" if len(self.rules) == 1 else "rules {} do not fit"
        return f"TVM's own {fit.format(' and '.join(self.rules))} it ({reasons}); {instead}"


def why(error: BaseException) -> str:
    """Why TVM refuses, in one line without its names of errors and the like."""
    line = re.sub(r"^(\w*Error|Check failed): *", "", first_line(error))
    primitive = _PRIMITIVE.search(line)
    return f"TVM refuses {primitive[1]} here" if primitive else line.rstrip(".")


def guarded(rules: Sequence[Any], crashes: Crashes) -> list[Any]:
    """The rules, each able to crash on one block without ending the generation; ``crashes`` collects the crashes."""
    return [_Guarded(rule, _substitutes(rule), crashes) for rule in rules]


@derived_object
class _Guarded(PyScheduleRule):  # type: ignore[misc]
    def __init__(self, rule: Any, substitutes: list[Any], crashes: Crashes) -> None:
        super().__init__()
        self.rule = rule
        self.substitutes = substitutes
        self.crashes = crashes

    def _initialize_with_tune_context(self, context: Any) -> None:
        for rule in (self.rule, *self.substitutes):
            rule._initialize_with_tune_context(context)

    def apply(self, sch: Any, block: Any) -> list[Any]:
        try:
            return list(self.rule.apply(sch.copy(), block))
        except TVM_ERRORS as error:
            results = [result for rule in self.substitutes for result in _tried(rule, sch, block)]
            block_name = str(sch.get(block).name_hint)
            self.crashes.add(type(self.rule).__name__, block_name, error, bool(results))
            return results or [sch]

    def clone(self) -> Any:
        return _Guarded(self.rule.clone(), [rule.clone() for rule in self.substitutes], self.crashes)


def _tried(rule: Any, sch: Any, block: Any) -> list[Any]:
    """What the rule makes of the schedule; nothing if it crashes, too."""
    try:
        return list(rule.apply(sch.copy(), block))
    except TVM_ERRORS:
        return []


def _substitutes(rule: Any) -> list[Any]:
    """Substitutes for multi-level tiling on a CPU: one with a new write cache, one with none.

    Stock tiling *may* reuse a consumer as the write cache; that is what crashes.
    """
    if type(rule) is not ms.schedule_rule.MultiLevelTiling or len(rule.tile_binds or ()):
        return []
    structure = str(rule.structure)
    levels = list(range(1, len(structure) - len(structure.lstrip("S")) + 1))
    return [
        MultiLevelTiling(
            structure=structure, max_innermost_factor=int(rule.max_innermost_factor), reuse_write=reuse_write
        )
        for reuse_write in (ReuseType("must", levels, "global"), None)
    ]
