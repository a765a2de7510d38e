"""Stacks of frames in no time: TVMScript asks for one wherever a program is written.

``inspect.stack`` looks for the source of every frame, and for that through all modules that are loaded: with a test
runner's frames and PyTorch's modules this took a third of the time that collecting the tests takes. TVMScript looks at
the source of the third frame, and at the variables of the others.
"""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any

LOOKED_AT = 2
"""The place of the frame that has its source."""
_NO_FILE = "<"
"""How the names of code begin that comes from no file, such as the import system's."""


def outer_frames(frame: FrameType | None, context: int = 1) -> list[Any]:
    """What ``inspect.getouterframes`` gives, without the source of all frames but one."""
    found: list[Any] = []
    while frame is not None:
        code = frame.f_code
        if len(found) == LOOKED_AT and not code.co_filename.startswith(_NO_FILE):
            found.append(inspect.FrameInfo(frame, *inspect.getframeinfo(frame, context)))
        else:
            found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


def quicken() -> None:
    """Have stacks of this process made so."""
    inspect.getouterframes = outer_frames
