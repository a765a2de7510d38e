"""Transposed convolutions of models, in any layout.

TVM has code for them with channels first only, and leaves the operator as it is once channels are last. They are
written here as sums over an image that is spread out, for one, two or three dimensions, groups and dilated filters. The
normal form of programs (:mod:`colt.tvm.programs.phases`) leaves out what is multiplied by the zeros between its pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import te, tirx

OPERATORS = ("relax.nn.conv1d_transpose", "relax.nn.conv2d_transpose", "relax.nn.conv3d_transpose")


def rules() -> dict[str, Callable[[Any, Any], Any]]:
    """What to make of these operators, for TVM's ``LegalizeOps``."""
    return dict.fromkeys(OPERATORS, _in_words)


def _in_words(builder: Any, call: Any) -> Any:
    attributes = call.attrs
    if attributes.out_layout != attributes.data_layout:
        return call
    name = str(call.op.name).rpartition(".")[2]
    return builder.call_te(_Convolution.of(call).computed, call.args[0], call.args[1], primfunc_name_hint=name)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """``data`` and ``filters`` say by a letter what each dimension is: N, C or O, I and D, H, W. The numbers are by
    spatial dimension; ``before`` and ``after`` are what is cut off at the ends, ``more`` what is added to the last."""

    data: str
    filters: str
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    more: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    dtype: str

    @classmethod
    def of(cls, call: Any) -> _Convolution:
        attributes = call.attrs
        strides, padding, more, dilation = (
            tuple(int(one) for one in numbers)
            for numbers in (attributes.strides, attributes.padding, attributes.output_padding, attributes.dilation)
        )
        dimensions = len(strides)
        return cls(
            str(attributes.data_layout),
            str(attributes.kernel_layout),
            strides,
            padding[:dimensions],
            padding[-dimensions:],
            more,
            dilation,
            int(attributes.groups),
            str(call.ty.dtype),
        )

    @property
    def letters(self) -> str:
        """The spatial dimensions, in the order of the data."""
        return "".join(letter for letter in self.data if letter in "DHW")

    def computed(self, x: Any, f: Any) -> Any:
        """The result, in the layout of the data."""
        data, filters = dict(zip(self.data, x.shape, strict=True)), dict(zip(self.filters, f.shape, strict=True))
        reach = [(filters[letter] - 1) * d for letter, d in zip(self.letters, self.dilation, strict=True)]
        sides = [
            (data[letter] - 1) * step + span + 1 - before - after + more
            for letter, step, span, before, after, more in zip(
                self.letters, self.strides, reach, self.before, self.after, self.more, strict=True
            )
        ]
        spread = self._spread(x, data, reach, sides)
        shape = data | dict(zip(self.letters, sides, strict=True)) | {"C": filters["O"] * self.groups}
        channel = te.reduce_axis((0, filters["I"] // self.groups), name="c")
        taps = {letter: te.reduce_axis((0, filters[letter]), name=f"k{letter.lower()}") for letter in self.letters}

        def sums(*index: Any) -> Any:
            at = dict(zip(self.data, index, strict=True))
            group, output = (
                (tirx.indexdiv(at["C"], filters["O"]), tirx.indexmod(at["C"], filters["O"]))
                if self.groups > 1
                else (0, at["C"])
            )
            source = group * (filters["I"] // self.groups) + channel if self.groups > 1 else channel
            met = {letter: at[letter] + tap * d for (letter, tap), d in zip(taps.items(), self.dilation, strict=True)}
            turned = {letter: filters[letter] - 1 - tap for letter, tap in taps.items()}
            pixel = spread(*((at | met | {"C": source})[letter] for letter in self.data))
            factor = f(*((turned | {"I": source, "O": output})[letter] for letter in self.filters))
            return te.sum(pixel.astype(self.dtype) * factor.astype(self.dtype), axis=[channel, *taps.values()])

        return te.compute([shape[letter] for letter in self.data], sums, name="transposed")

    def _spread(self, x: Any, data: dict[str, Any], reach: list[Any], sides: list[Any]) -> Any:
        """The data with zeros between and around the pixels."""
        shape = data | {letter: side + span for letter, side, span in zip(self.letters, sides, reach, strict=True)}
        front = {letter: span - cut for letter, span, cut in zip(self.letters, reach, self.before, strict=True)}
        steps = dict(zip(self.letters, self.strides, strict=True))

        def pixel(*index: Any) -> Any:
            at = dict(zip(self.data, index, strict=True))
            conditions: list[Any] = []
            for letter, step in steps.items():
                number = at[letter] - front[letter]
                conditions += [number >= 0, number < data[letter] * step]
                conditions += [tirx.indexmod(number, step) == 0] if step > 1 else []
                at[letter] = tirx.indexdiv(number, step) if step > 1 else number
            return tirx.if_then_else(tirx.all(*conditions), x(*at.values()), tirx.const(0, x.dtype))

        return te.compute([shape[letter] for letter in self.data], pixel, name="spread")
