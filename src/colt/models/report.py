"""A compiled model as a table: where its time goes, task by task."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from colt.models.by_rule import RULE
from colt.models.layouts import IN_WORDS
from colt.models.manifest import AnyManifest, Manifest, MemberPart, ReceiptPart, SizedManifest, TaskPart
from colt.models.sized import in_limits, in_words
from colt.util.grid import Grid
from colt.util.text import counted, in_us, shown

_SHORTEST = 0.5
"""Activities of fewer seconds are not listed."""
_HEAD = ("task", "calls", "alone", "in the model", "of the time", "of the roofline", "untuned", "trials", "by")


def model_table(manifest: Manifest, name: str = "") -> RenderableType:
    """The whole manifest: the tasks by what they cost in a run, and what was found of the whole. ``name`` stands above
    it, that of the model if left out."""
    return Group(_tasks(manifest, name or manifest.name), *(Text(shown(line)) for line in _lines(manifest)))


def table_of(manifest: AnyManifest) -> RenderableType:
    """The table of a model; of one that was compiled for several sizes one for each."""
    if isinstance(manifest, Manifest):
        return model_table(manifest)
    tables = [model_table(part.model, f"{manifest.name}, {in_words(part.sizes)}") for part in manifest.parts]
    return Group(*tables, *(Text(shown(line)) for line in _of_others(manifest)))


def _of_others(manifest: SizedManifest) -> list[str]:
    lines = [f"note: {message}" for message in manifest.messages]
    if (others := manifest.others) is None:
        return lines
    limits = in_limits(others)
    lines.append(f"others, with {limits}: untuned")
    if (found := others.model.compared) is not None:
        lines.append(f"computes what {found.against} computes: {found.in_words}")
    return [*lines, *(f"note: {message}" for message in others.model.messages)]


def _tasks(manifest: Manifest, name: str) -> Grid:
    title = f"{name}, {counted(len(manifest.tasks), 'task')}, {counted(manifest.threads, 'thread')}"
    whole = sum(_share(task) for task in manifest.tasks) or 1.0
    rows = [_row(task, whole) for task in sorted(manifest.tasks, key=_share, reverse=True)]
    return Grid(_HEAD, rows, left=(0, 8), title=shown(title))


def _row(task: TaskPart, whole: float) -> tuple[str, ...]:
    return (
        shown(task.name),
        str(task.calls),
        "-" if task.us is None else in_us(task.us),
        "-" if task.model_us is None else in_us(task.model_us),
        f"{_share(task) / whole:.1%}",
        "-" if task.roofline_share is None else f"{task.roofline_share:.0%}",
        "-" if task.untuned_us is None or task.us is None else f"{task.untuned_us / task.us:.1f}x",
        str(task.trials),
        shown(_by(task)),
    )


def _by(task: TaskPart) -> str:
    if not task.by:
        return f"as imported: {task.why_not}"
    if task.by == RULE:
        return f"a plain schedule: {task.why_not}"
    return f"{task.by}, {task.form}" if task.form else task.by


def _share(task: TaskPart) -> float:
    return task.calls * (task.model_us or task.us or 0.0)


def _lines(manifest: Manifest) -> list[str]:
    lines = []
    total = sum(task.calls * (task.us or 0.0) for task in manifest.tasks) / 1e3
    if (whole := manifest.timed) is not None:
        lines.append(f"one run of the library takes {whole.tuned_ms:.3g} ms; its tasks alone sum up to {total:.3g} ms")
        if whole.speedup is not None and whole.interval is not None:
            low, high = whole.interval
            lines.append(f"{whole.verdict}: {whole.speedup:.1f} times the untuned model ({low:.1f} to {high:.1f})")
    if (found := manifest.compared) is not None:
        verdict = "computes what" if found.ok else "DOES NOT COMPUTE what"
        lines.append(f"{verdict} {found.against} computes: {found.in_words}")
    if manifest.layouts:
        lines.append(_of_layouts(manifest))
    if manifest.products:
        lines.append(f"operands of products are rounded to {manifest.products}, as asked; sums are of float32")
    forms = [task for task in manifest.tasks if task.form]
    if forms:
        worst = max(task.form_error or 0.0 for task in forms)
        lines.append(f"{counted(len(forms), 'task')} computed by Winograd's sums, off by {worst:.2g} at most alone")
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in manifest.seconds.items())
    lines.append(f"{counted(manifest.trials, 'trial')}; {spent}")
    if manifest.receipt is not None:
        lines += _of_tuning(manifest.receipt)
    if manifest.cpu:
        lines.append(f"compiled and timed on {manifest.cpu}, {counted(manifest.threads, 'thread')}")
    return [*lines, *(f"note: {message}" for message in manifest.messages)]


def _of_tuning(receipt: ReceiptPart) -> list[str]:
    """What the runs took: trials by fate, time by activity, and who did what for how much."""
    lines = []
    if receipt.fates:
        fates = ", ".join(f"{count} {fate}" for fate, count in receipt.fates.items())
        lines.append(f"trials: {fates}; {receipt.known} schedules known from records, {receipt.added} added to them")
    activities = {name: took for name, took in receipt.seconds.items() if name != "total" and took >= _SHORTEST}
    if activities:
        by_time = sorted(activities.items(), key=lambda one: -one[1])
        lines.append(f"of tuning: {', '.join(f'{name} {took:.0f} s' for name, took in by_time)}")
    busy = {name: one for name, one in receipt.members.items() if one.calls or one.trials or one.requests}
    if busy:
        lines.append(f"who: {'; '.join(f'{name} {_member(one)}' for name, one in busy.items())}")
    if receipt.calls_ended:
        lines.append(f"language models were not asked to the end: {receipt.calls_ended}")
    return lines


def _member(member: MemberPart) -> str:
    """What a member of the pool did, and what it cost."""
    parts = [counted(member.calls, "turn")] if member.calls else []
    parts += [counted(member.trials, "trial")] if member.trials else []
    if member.requests:
        tokens = member.input + member.output
        parts += [counted(member.requests, "request"), f"{tokens:,} tokens", f"${member.usd:.4f}"]
    return ", ".join(parts)


def _of_layouts(manifest: Manifest) -> str:
    """Which layout convolutions have, and what the others promised."""
    found = {one.name: one for one in manifest.layouts}
    ours = found.pop(manifest.layout)
    others = ", ".join(f"{one.ms:.3g} ms {IN_WORDS.get(name, name)}" for name, one in found.items())
    timed = f"by {counted(ours.programs, 'program')} of each"
    return f"convolutions are {IN_WORDS.get(ours.name, ours.name)}: {ours.ms:.3g} ms at a guess, {others} ({timed})"
