"""The inner loop of a kernel, from its machine code: its instructions, and how many there are of each kind.

The library is disassembled, never loaded. A loop is what a backward jump closes; innermost is one with no other in it;
the inner loop of a kernel is that of the innermost ones with the most vector arithmetic.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from colt.util.files import refusal

TOOLS = ("objdump", "llvm-objdump")
SECONDS = 20.0
LARGEST_KERNEL = 1 << 25
MOST_INSTRUCTIONS = 400

_LINE = re.compile(r"^\s*([0-9a-f]+):\s+([a-z][\w.]*)\s*(.*?)\s*$")
_TARGET = re.compile(r"^(?:0x)?([0-9a-f]+)\b")
_JUMPS = re.compile(r"^(j[a-z]+|b|b\.\w+|cbn?z|tbn?z)$")
_ARITHMETIC = re.compile(
    r"^(v?p?(fn?m?m?(add|sub)\d*|add|sub|mul|min|max|dp)\w*[pds][sdw]?|vp?\w*dp\w*|fml[as]|fmul|fadd|[su]?dot)"
)


@dataclass(frozen=True, slots=True)
class InnerLoop:
    """The loop's instructions, and how many of them are vector arithmetic, or why there are none."""

    lines: tuple[str, ...]
    arithmetic: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Instruction:
    address: int
    name: str
    operands: str

    @property
    def is_arithmetic(self) -> bool:
        wide = any(word in self.operands for word in ("%ymm", "%zmm", "%xmm", ".4s", ".2d", ".8h"))
        return wide and _ARITHMETIC.match(self.name) is not None


def inner_loop(kernel: Path) -> InnerLoop:
    """The inner loop of a shared library."""
    tool = next((found for name in TOOLS if (found := shutil.which(name))), None)
    try:
        if problem := refusal(kernel, links=False):
            return InnerLoop((), problem=f"{kernel.name} cannot be read: {problem}")
        size = kernel.lstat().st_size
    except OSError:
        return InnerLoop((), problem=f"there is no {kernel.name}")
    if size > LARGEST_KERNEL:
        return InnerLoop((), problem=f"{kernel.name} is too large to look into")
    if tool is None:
        return InnerLoop((), problem="objdump, of binutils, is not installed")
    try:
        done = subprocess.run(
            [tool, "-d", "--no-show-raw-insn", str(kernel.resolve())],
            capture_output=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return InnerLoop((), problem=f"{Path(tool).name} did not end in time")
    if done.returncode != 0:
        return InnerLoop((), problem=f"{Path(tool).name} cannot read {kernel.name}")
    return find_inner_loop(done.stdout.decode(errors="replace"))


def find_inner_loop(listing: str) -> InnerLoop:
    """The inner loop in a disassembler's listing."""
    instructions = [
        _Instruction(int(found[1], 16), found[2], found[3])
        for row in listing.splitlines()
        if (found := _LINE.match(row))
    ]
    loops = innermost(instructions)
    if not loops:
        return InnerLoop((), problem="the kernel has no loop")
    best = max(loops, key=lambda loop: (sum(one.is_arithmetic for one in loop), -len(loop)))
    rows = [f"{one.name:<14} {one.operands}".rstrip() for one in best]
    if len(rows) > MOST_INSTRUCTIONS:
        rows = [*rows[:MOST_INSTRUCTIONS], f"... {len(best) - MOST_INSTRUCTIONS:,} more"]
    return InnerLoop(tuple(rows), sum(one.is_arithmetic for one in best))


def innermost(instructions: list[_Instruction]) -> list[list[_Instruction]]:
    """The loops without another loop in them."""
    places = {one.address: place for place, one in enumerate(instructions)}
    ends: dict[int, int] = {}
    for place, one in enumerate(instructions):
        target = _TARGET.match(one.operands.split(",")[-1].strip()) if _JUMPS.match(one.name) else None
        start = None if target is None else places.get(int(target[1], 16))
        if start is not None and start <= place:
            ends[place] = start
    found = []
    last_end = -1
    for end in sorted(ends):  # a loop is innermost if no other ended inside it
        if ends[end] > last_end:
            found.append(instructions[ends[end] : end + 1])
        last_end = end
    return found


# ---- what kinds of instructions there are ----

_VECTOR = re.compile(r"%[xyz]mm\d|\bv\d+\.|\b[qz]\d+\b")
_ON_STACK = re.compile(r"\(%[re]?[sb]p\)|\[(sp|x29)\b")
_MOVES = re.compile(r"^(v?mov|ldr|ldp|ld1|str|stp|st1)")
_FMA = re.compile(r"^(vfn?m(add|sub)|fml[as]$)")
_BROADCAST = re.compile(r"^(vp?broadcast|ld1r)")
_CALLS = re.compile(r"^(callq?|bl|blr)$")
_PREFETCH = re.compile(r"^(prefetch|prfm)")


def kind_of_instruction(name: str, operands: str) -> str:
    """What kind of instruction it is, in a word or two, from a disassembler's name and operands (AT&T for x86)."""
    if _CALLS.match(name):
        return "calls"
    if _PREFETCH.match(name):
        return "prefetches"
    if not _VECTOR.search(operands):
        return "scalar and loop"
    if _MOVES.match(name) and ("(" in operands or "[" in operands):
        stores = name.startswith("st") or operands.rstrip().endswith(")")
        if _ON_STACK.search(operands):
            return "spills" if stores else "reloads of spills"
        return "stores" if stores else "loads"
    if _BROADCAST.match(name):
        return "broadcasts"
    if _FMA.match(name):
        return "FMAs of memory" if "(" in operands else "FMAs"
    return "other arithmetic" if _ARITHMETIC.match(name) else "shuffles and other vector"


def instruction_mix(lines: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """How many instructions of each kind there are in the lines of an inner loop, the most frequent first."""
    counts = Counter(kind_of_instruction(*(line.split(None, 1) if " " in line else (line, ""))) for line in lines)
    return tuple(counts.most_common())
