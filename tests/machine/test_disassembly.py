"""What kinds of instructions the inner loop of a kernel has."""

from __future__ import annotations

import pytest

from colt.machine.disassembly import find_inner_loop, instruction_mix, kind_of_instruction

LISTING = """
0000000000001000 <main>:
    1000: vxorps %xmm0,%xmm0,%xmm0
    1004: vmovups (%rsi),%zmm4
    100a: vmovups %zmm9,0x40(%rsp)
    1010: vfmadd231ps (%rdi){1to16},%zmm4,%zmm0
    1016: vfmadd231ps %zmm5,%zmm4,%zmm1
    101c: vmovups 0x40(%rsp),%zmm9
    1022: vbroadcastss 0x4(%rdi),%zmm5
    1028: vmovups %zmm0,(%rdx)
    102e: prefetcht0 0x400(%rsi)
    1034: add $0x40,%rsi
    1038: jne 1004 <main+0x4>
    103a: ret
"""


def test_each_kind_is_counted() -> None:
    found = find_inner_loop(LISTING)
    assert dict(instruction_mix(found.lines)) == {
        "loads": 1,
        "spills": 1,
        "FMAs of memory": 1,
        "FMAs": 1,
        "reloads of spills": 1,
        "broadcasts": 1,
        "stores": 1,
        "prefetches": 1,
        "scalar and loop": 2,
    }


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("callq 1040 <expf@plt>", "calls"),
        ("vshufps $0x1,%ymm1,%ymm2,%ymm3", "shuffles and other vector"),
        ("vmulps %ymm1,%ymm2,%ymm3", "other arithmetic"),
        ("fmla v0.4s, v1.4s, v2.s[0]", "FMAs"),
        ("ldr q1, [x2, #16]", "loads"),
        ("str q1, [sp, #16]", "spills"),
        ("subs x9, x9, #1", "scalar and loop"),
        ("ret", "scalar and loop"),
    ],
)
def test_kinds_of_other_instructions(line: str, kind: str) -> None:
    name, _, operands = line.partition(" ")
    assert kind_of_instruction(name, operands) == kind
