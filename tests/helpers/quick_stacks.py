"""Stacks of frames in no time: TVMScript asks for one wherever a program is written.

``inspect.stack`` looks for the source of every frame, and for that through all modules that are loaded: with a test
runner's frames and PyTorch's modules this took a third of the time that collecting the tests takes. TVMScript looks at
the source of the third frame, and at the variables of the others.
"""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any

WITH_SOURCE = 3
"""So many of the innermost frames have their source."""


def outer_frames(frame: FrameType | None, context: int = 1) -> list[Any]:
    """What ``inspect.getouterframes`` gives, without the source of outer frames."""
    found: list[Any] = []
    while frame is not None:
        if len(found) < WITH_SOURCE:
            found.append(inspect.FrameInfo(frame, *inspect.getframeinfo(frame, context)))
        else:
            code = frame.f_code
            found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


def quicken() -> None:
    """Have stacks of this process made so."""
    inspect.getouterframes = outer_frames
