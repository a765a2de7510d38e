"""What a request to a language model holds, and the most that it can use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from colt.proposers.language.completion import ChatRequest, ReplySchema
from colt.proposers.language.money import Usage
from colt.proposers.members import ModelMember

TEMPLATE_TOKENS = 512
"""Tokens that a server may add to a request: its chat template, a system text, words about the schema."""
OPENROUTER = "openrouter.ai"


def request_body(member: ModelMember, request: ChatRequest) -> dict[str, Any]:
    """What is sent, in the form of OpenAI's chat completions."""
    messages = [("system", request.system), ("user", request.user)]
    body: dict[str, Any] = {
        "model": member.model,
        "messages": [{"role": role, "content": _encodable(text)} for role, text in messages if text],
        member.max_output_field: min(member.max_output_tokens, request.max_output_tokens or member.max_output_tokens),
    }
    if member.temperature is not None:
        body["temperature"] = member.temperature
    if member.reasoning_effort is not None:
        body["reasoning_effort"] = member.reasoning_effort
    if request.schema is not None and member.json_schema:
        body["response_format"] = _response_format(member, request.schema)
    host = urlsplit(member.base_url).hostname or ""
    if host == OPENROUTER or host.endswith("." + OPENROUTER):
        body["provider"] = _routing(member)
    return body


def _response_format(member: ModelMember, wanted: ReplySchema) -> dict[str, Any]:
    """The schema in OpenAI's form, or in the older form ``json_object`` that some servers take instead."""
    schema = dict(wanted.schema)
    if member.response_format == "json_object":
        return {"type": "json_object", "schema": schema}
    return {"type": "json_schema", "json_schema": {"name": wanted.name, "schema": schema, "strict": True}}


def _routing(member: ModelMember) -> dict[str, Any]:
    """OpenRouter's choice of providers: only those that keep to the maximum output and to these prices, so that the
    reserved bound holds."""
    routing: dict[str, Any] = {"require_parameters": True}
    if prices := member.prices:
        routing["max_price"] = {"prompt": float(prices.input), "completion": float(prices.output)}
    return routing


def worst_usage(member: ModelMember, body: Mapping[str, Any]) -> Usage:
    """The largest usage possible: no token is shorter than a byte."""
    size = len(json.dumps(body, ensure_ascii=False).encode())
    return Usage(size + TEMPLATE_TOKENS, body[member.max_output_field])


def _encodable(text: str) -> str:
    """The text without lone surrogates, which a request cannot carry."""
    return text.encode("utf-8", "replace").decode()
