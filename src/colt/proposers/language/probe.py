"""``colt pool check``: one real question to each model of a pool, to see what its endpoint supports.

The question asks for a sentence, but is sent with the JSON schema of real replies, which allows only an object. If such
an object comes back, the endpoint enforces the schema. A probe costs a few hundred tokens per model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from colt.proposers.language.client import ChatClient
from colt.proposers.language.completion import ChatError, ChatRequest, Completion, ErrorKind, ReplySchema
from colt.proposers.language.money import Ledger, Usage, dollars
from colt.proposers.language.reply import schema
from colt.proposers.language.retry import RetryPolicy
from colt.proposers.language.salvage import json_pieces
from colt.proposers.members import CHOICES, ModelMember
from colt.util.interrupt import ENDLESS_S
from colt.util.text import shown

if TYPE_CHECKING:
    from colt.util.grid import Grid

TYPICAL_CALL = Usage(input=1500, output=300)
"""The tokens of a call whose price the table shows."""
AT_ONCE = 8
PATIENCE = RetryPolicy(attempts=2, total_s=60.0)

COLOURS = ("red", "green", "blue")
QUESTION = ChatRequest(
    system="You answer in one short English sentence, without any formatting.",
    user="What colour is a ripe strawberry?",
    schema=ReplySchema("proposals", schema(COLOURS)),
)
REJECTS = (
    ErrorKind.BAD_REQUEST,
    ErrorKind.NOT_FOUND,  # OpenRouter: no provider of the model takes a schema
    ErrorKind.SERVER,  # llama-cpp-python: it takes another form
)
"""Failures that the schema may have caused."""


class SchemaSupport(StrEnum):
    """What an endpoint does with a JSON schema."""

    ENFORCED = "enforced"
    IGNORED = "ignored"
    REJECTED = "rejected"  # requests that carry one fail
    UNKNOWN = "unknown"


class Reasoning(StrEnum):
    """What an endpoint does with a model's reasoning."""

    NONE = "none"
    SEPARATE = "separate"  # in its own channel, beside the answer
    SWALLOWS = "swallows the answer"  # in its own channel, and no answer
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the probe of one model found."""

    name: str
    model: str
    base_url: str
    usable: bool
    problem: str
    """Why the model is not usable, or what should be changed; else empty."""
    schema: SchemaSupport = SchemaSupport.UNKNOWN
    usage_reported: bool | None = None
    reasoning: Reasoning = Reasoning.UNKNOWN
    served_model: str = ""
    latency_s: float | None = None
    typical_call_usd: Decimal | None = None
    """The price of :data:`TYPICAL_CALL`, nothing cached; ``None`` if prices are not known."""
    prices_from: str = ""
    spent_usd: Decimal = Decimal(0)
    """The cost of the probe itself."""


def check(members: Sequence[ModelMember], ledger: Ledger | None = None) -> list[Finding]:
    """Probe all members at once; findings come in the order of ``members``. An interruption gives up all calls.

    Raises :class:`~colt.errors.InputError` for keys that are not set.
    """
    ledger = ledger or Ledger()
    for member in members:
        member.key()
    opened: list[ChatClient] = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            return list(threads.map(lambda member: probe(member, ledger, opened), members, timeout=ENDLESS_S))
        finally:
            for client in opened:
                client.close()


def probe(member: ModelMember, ledger: Ledger, opened: list[ChatClient]) -> Finding:
    """Probe one member: with the schema, then in the other form, then without it, until the endpoint takes the request.

    The clients are added to ``opened``, so that another thread can close them."""
    price = dollars(member.prices.cost(TYPICAL_CALL)) if member.prices else None
    base = Finding(
        member.name, member.model, member.base_url, False, "", typical_call_usd=price, prices_from=member.prices_from
    )
    spent = 0
    for asked in _ways(member):
        outcome = _ask(asked, ledger, opened)
        spent += outcome.spent.picodollars
        if isinstance(outcome, Completion) or outcome.kind not in REJECTS:
            break
    base = dataclasses.replace(base, spent_usd=dollars(spent))
    if isinstance(outcome, ChatError):
        swallowed = outcome.kind is ErrorKind.EMPTY and outcome.reasoned
        return dataclasses.replace(
            base,
            problem=str(outcome).removeprefix(f"{member.name}: "),
            reasoning=Reasoning.SWALLOWS if swallowed else Reasoning.UNKNOWN,
        )
    return _answered(base, member, asked, outcome)


def _ways(member: ModelMember) -> list[ModelMember]:
    """The ways to try in turn: the stated form of the schema, the other form, no schema."""
    forms = sorted(CHOICES["response_format"], key=lambda form: form != member.response_format)
    ways = [dataclasses.replace(member, json_schema=True, response_format=form) for form in forms]
    return [*ways, dataclasses.replace(member, json_schema=False)]


def _answered(base: Finding, member: ModelMember, asked: ModelMember, completion: Completion) -> Finding:
    """The finding about ``member``, which gave ``completion`` when asked as ``asked``."""
    support = _support(member, asked, completion)
    swallowed = not completion.text
    if swallowed:
        reasoning = Reasoning.SWALLOWS
    else:
        reasoning = Reasoning.SEPARATE if completion.reasoning.strip() else Reasoning.NONE
    settings = _settings(member, asked, support)
    problems = []
    if swallowed:
        problems.append("the answer came in the reasoning channel")
    if settings and support is SchemaSupport.ENFORCED:
        problems.append(f"the endpoint enforces a JSON schema; set {settings} to use it")
    elif settings:
        problems.append(f"the endpoint does not take a JSON schema; set {settings}")
    if support is SchemaSupport.UNKNOWN:
        problems.append("the answer was cut off before it showed whether the JSON schema is enforced")
    return dataclasses.replace(
        base,
        usable=not (swallowed or (settings and member.json_schema)),
        problem="; ".join(problems),
        schema=support,
        usage_reported=completion.usage_reported,
        reasoning=reasoning,
        served_model=completion.served_model,
        latency_s=completion.latency_s,
    )


def _ask(member: ModelMember, ledger: Ledger, opened: list[ChatClient]) -> Completion | ChatError:
    client = ChatClient(member, ledger, retry=PATIENCE)
    opened.append(client)
    try:
        return client.complete(QUESTION)
    except ChatError as error:
        return error


def _support(member: ModelMember, asked: ModelMember, completion: Completion) -> SchemaSupport:
    """What the answer to ``asked`` shows about the endpoint's support."""
    if asked.json_schema and _conforms(completion.answer):
        return SchemaSupport.ENFORCED
    if not asked.json_schema or asked.response_format != member.response_format:
        return SchemaSupport.REJECTED
    torn = completion.finish_reason == "length" and completion.answer.lstrip().startswith("{")
    return SchemaSupport.UNKNOWN if torn else SchemaSupport.IGNORED


def _settings(member: ModelMember, asked: ModelMember, support: SchemaSupport) -> str:
    """The settings that the pool file should have for this endpoint; empty if they are right."""
    if support is SchemaSupport.REJECTED:
        return "json_schema = false" if member.json_schema else ""
    if support is not SchemaSupport.ENFORCED:
        return ""
    settings = [] if member.json_schema else ["json_schema = true"]
    if asked.response_format != member.response_format:
        settings.append(f'response_format = "{asked.response_format}"')
    return " and ".join(settings)


def _conforms(text: str) -> bool:
    """Whether the reply follows the schema, read as tolerantly as in a run."""
    return any(
        isinstance(piece, dict) and set(piece) == {"proposals", "next_model"} and piece["next_model"] in COLOURS
        for piece in json_pieces(text)
    )


def to_json(findings: Sequence[Finding]) -> str:
    """All findings as JSON; amounts are numbers of dollars."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    whole = {"usable": all(finding.usable for finding in findings), "models": list(findings)}
    return msgspec.json.format(encoder.encode(whole)).decode()


def table(findings: Sequence[Finding]) -> Grid:
    """All findings as a table."""
    from colt.util.grid import Grid

    head = ("model", "usable", "schema", "usage", "reasoning", "seconds", "$ a call", "remarks")
    title = f"a typical call: {TYPICAL_CALL.input} tokens in, {TYPICAL_CALL.output} out"
    return Grid(head, [_row(finding) for finding in findings], left=(0, 1, 2, 3, 4, 7), title=title)


def _row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.name,
        "yes" if finding.usable else "NO",
        finding.schema.value,
        {True: "reported", False: "missing", None: "unknown"}[finding.usage_reported],
        finding.reasoning.value,
        f"{finding.latency_s:.1f}" if finding.latency_s is not None else "",
        f"{finding.typical_call_usd:.6f}" if finding.typical_call_usd is not None else "unknown",
        shown(_remarks(finding)),
    )


def _remarks(finding: Finding) -> str:
    remarks = [finding.problem] if finding.problem else []
    if finding.served_model and finding.served_model != finding.model:
        remarks.append(f"answers as {finding.served_model}")
    if finding.typical_call_usd is None:
        remarks.append(f"no prices ({finding.prices_from}): refused under --max-usd")
    return "; ".join(remarks)
