"""A tuning job in words, short enough for a language model's prompt: machine, program, sketches and knobs.

``machine`` describes the hardware, ``equations`` the program, ``nests`` a sketch's loops, and ``families`` many
sketches that differ in a few choices; ``spaces`` puts them together. The text is the same for every call of a run.
"""

from colt.tvm.briefing.spaces import TvmBriefing, brief

__all__ = ["TvmBriefing", "brief"]
