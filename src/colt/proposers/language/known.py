"""Sizes of models in billions of parameters, counting all experts of a mixture.

Sizes of open models are those that their makers state. Makers of closed models state none: their sizes here are
*nominal*. They order the models for the tree policy and claim nothing about them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Size(NamedTuple):
    """A size, and whether it is nominal."""

    billions: float
    nominal: bool


OPEN: dict[str, float] = {
    "codestral": 22.2,
    "command-a": 111,
    "command-r": 35,
    "command-r-plus": 104,
    "deepseek-chat": 671,
    "deepseek-r1": 671,
    "deepseek-reasoner": 671,
    "deepseek-v3": 671,
    "deepseek-v3.1": 671,
    "deepseek-v3.2": 671,
    "devstral": 23.6,
    "devstral-medium": 123,
    "devstral-small": 23.6,
    "glm-4.5": 355,
    "glm-4.5-air": 106,
    "glm-4.6": 355,
    "gpt-oss-120b": 116.8,
    "gpt-oss-20b": 20.9,
    "kimi-k2": 1000,
    "llama-4-maverick": 400,
    "llama-4-scout": 109,
    "minimax-m1": 456,
    "minimax-m2": 230,
    "mistral-large": 123,
    "mistral-nemo": 12.2,
    "mistral-small": 23.6,
    "mixtral-8x22b": 141,
    "mixtral-8x7b": 46.7,
    "phi-3-medium": 14,
    "phi-3-mini": 3.8,
    "phi-4": 14.7,
    "phi-4-mini": 3.8,
    "qwen3-coder": 480,
    "qwen3-coder-next": 80,
}
"""Sizes stated by the makers. A model whose name holds its size (``qwen3-14b``) needs no line."""

NOMINAL: dict[str, float] = {
    "claude-haiku": 70,
    "claude-opus": 1000,
    "claude-sonnet": 400,
    "gemini-2.5-flash": 100,
    "gemini-2.5-flash-lite": 20,
    "gemini-2.5-pro": 600,
    "gpt-4.1": 300,
    "gpt-4.1-mini": 40,
    "gpt-4.1-nano": 8,
    "gpt-4o": 200,
    "gpt-4o-mini": 30,
    "gpt-5": 600,
    "gpt-5-mini": 100,
    "gpt-5-nano": 20,
    "gpt-5.1": 600,
    "gpt-5.2": 600,
    "grok-4": 600,
    "o3": 300,
    "o4-mini": 100,
    "qwen3-max": 1000,
}
"""Guesses: order and rough ratios follow from prices."""

_DATED = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|\d{4}|latest|preview|instruct|it)$")
_CLAUDE = re.compile(r"^claude-(?:[\d.-]+-)?(haiku|sonnet|opus)\b.*")
_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")


def size_of(model: str) -> Size | None:
    """The size of a model by its name at an endpoint: from the tables, or else from the name itself."""
    stem = _stem(model)
    if stem in OPEN:
        return Size(OPEN[stem], False)
    if stem in NOMINAL:
        return Size(NOMINAL[stem], True)
    stated = _IN_NAME.search(model.lower())
    if stated and float(stated[1]) > 0:
        return Size(float(stated[1]), False)
    return None


def _stem(model: str) -> str:
    """``gpt-5-mini`` for ``openai/GPT-5-mini-2025-08-07``: the name without maker, tag, date and kind of tuning."""
    name = model.lower().rsplit("/", 1)[-1]
    head, _, tag = name.partition(":")
    name = f"{head}-{tag}" if f"{head}-{tag}" in OPEN else head  # gpt-oss:20b is Ollama's gpt-oss-20b
    while (shorter := _DATED.sub("", name)) != name:
        name = shorter
    return _CLAUDE.sub(r"claude-\1", name)
