"""``docs/options.md``, from the declarations: ``python -m colt.cli.options_table > docs/options.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from colt.options import MODELS, PRESETS, SearchConfig, TuneOptions
from colt.util.declared import Kind, Option, options_of

HEAD = """\
# Options

<!-- Written by python -m colt.cli.options_table from src/colt/options.py. -->

The options of `colt.tune()` are keywords, those of `colt tune` flags. The table `[run]` of a run's `config.toml` holds
them as they were resolved.
"""
SEARCH_HEAD = """\
`colt tune` takes each by a flag; `colt.tune()` takes them together as `config=`, a `SearchConfig` or a mapping. The
table `[search]` of a run's `config.toml` holds them.

`--preset` (in Python `SearchConfig.preset()`) names settings to start from; if it is left out, they are `models` for a
pool with language models, else `default`. `--config FILE` overrides the preset, and a flag overrides both.
"""


def document() -> str:
    """The whole page."""
    options = options_of(TuneOptions).values()
    parts = [
        HEAD,
        *_table(one for one in options if one.group != MODELS),
        "\n## Language models\n\nFor pools that have any ([pool.md](pool.md)).\n",
        *_table(one for one in options if one.group == MODELS),
        f"\n## Search settings\n\n{SEARCH_HEAD}",
        *_table(options_of(SearchConfig).values()),
        "\n## Presets\n\nThey differ from the defaults in these settings.\n",
        *_presets(),
    ]
    return "\n".join(parts) + "\n"


def _table(options: Iterable[Option]) -> Iterator[str]:
    yield "| Python | command line | takes | default | meaning |\n|---|---|---|---|---|"
    for one in options:
        flag = f"`{one.flag}`" if one.flag else ""
        default = "" if one.default in (None, ()) else f"`{one.default}`"
        accepted = "" if one.kind is Kind.OTHER and not one.takes else one.wanted
        yield f"| `{one.name}` | {flag} | {accepted} | {default} | {one.meaning} |"


def _presets() -> Iterator[str]:
    yield "| preset | settings |\n|---|---|"
    for name, settings in PRESETS.items():
        listed = ", ".join(f"`{setting} = {_short(value)}`" for setting, value in settings.items())
        yield f"| `{name}` | {listed} |"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(document(), end="")
