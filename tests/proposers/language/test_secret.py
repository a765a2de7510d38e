"""No fragment of a key reaches a person, however a server quotes it; other texts stay as they are."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.proposers.language.secret import FRAGMENT, SHORTEST, Secret

KEY = "sk-proj/abcd0123+EFGHijkl456789_mnopwxyz"
SECRET = Secret(KEY)

keys = st.text(st.sampled_from("abcXYZ019-_/+=.%\\"), min_size=SHORTEST, max_size=24)
texts = st.text(max_size=60)
writings = st.sampled_from(
    [
        str,
        quote,
        lambda text: quote(text, safe=""),
        lambda text: quote(quote(text, safe=""), safe=""),
        lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
        lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
        lambda text: "".join(f"&#{ord(character)};" for character in text),
    ]
)


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        (f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: ***."),
        (f"the key {KEY[:8]}", "the key ***"),
        (f"the key ({KEY[-8:]})", "the key (***)"),
        (f"with {KEY[12:20]} in it", "with *** in it"),
        (f"x{KEY[12:20]}x{KEY[20:26]}", "x***x***"),
        ("Incorrect API key provided: sk-proj********wxyz", "Incorrect API key provided: " + 14 * "*"),
        ("key sk-p...wxyz", "key ***...***"),
        ("key sk-p\u2026pwxyz", "key ***\u2026***"),
        ("key sk-pXXXXXXwxyz", "key ***XXXXXX***"),
        (f"key {quote(KEY, safe='')}", "key ***"),
        (f"key {quote(quote(KEY[2:12], safe=''))}", "key ***"),
        ("key sk\\u002dproj\\/abcd", "key ***"),
        ("key sk-proj&#47;abcd&#x2B;", "key ***&#x2B;"),
        ("key SK-PROJ/A", "key SK-PROJ/A"),
        ("the project wxyz is missing", "the project wxyz is missing"),
        ("wait...", "wait..."),
    ],
)
def test_fragments_of_a_key_are_masked(said: str, masked: str) -> None:
    assert SECRET.masked_error(said) == masked


def test_the_ends_of_a_key_are_masked_alone_unless_they_are_words() -> None:
    assert (
        Secret("sk-0123456789-a7f2").masked_error("the key ending in a7f2 is wrong") == "the key ending in *** is wrong"
    )
    assert Secret("sk-0123456789-test").masked_error("this is a test") == "this is a test"


@pytest.mark.parametrize("key", [None, "none", "EMPTY"])
def test_a_short_key_is_no_secret(key: str | None) -> None:
    secret = Secret(key)
    assert secret.masked(f"{key}: nothing") == f"{key}: nothing"
    assert secret.masked_json(f'"{key}"'.encode()) == f'"{key}"'.encode()
    assert secret.masked_error(f"not {key}") == ("not ***" if key else "not None")


@given(keys, texts, texts, st.data())
def test_no_fragment_survives(key: str, before: str, after: str, data: st.DataObject) -> None:
    """Not of the text as it stands, and not once it has been decoded."""
    start = data.draw(st.integers(0, len(key) - FRAGMENT))
    end = data.draw(st.integers(start + FRAGMENT, len(key)))
    said = before + data.draw(writings)(key[start:end]) + after
    secret = Secret(key)
    for masked in (secret.masked(said), secret.masked_error(said)):
        assert not [at for at in range(len(key) - FRAGMENT + 1) if key[at : at + FRAGMENT] in masked]


@given(keys, st.lists(texts), st.booleans())
def test_no_fragment_survives_in_a_body_which_still_parses(key: str, said: list[str], ascii_only: bool) -> None:
    body = json.dumps([*said, f"\n{key}", f"{key}\\", {"error": key[1:]}], ensure_ascii=ascii_only)
    body = body.replace("/", "\\/")
    masked = json.loads(Secret(key).masked_json(body.encode("utf-8", "surrogateescape")))
    told = json.dumps(masked)
    assert len(masked) == len(said) + 3
    for text in [*masked[:-1], masked[-1]["error"]]:
        assert not [at for at in range(len(key) - FRAGMENT + 1) if key[at : at + FRAGMENT] in text], told


@given(keys, texts, st.binary(max_size=60))
def test_texts_without_the_key_stay_as_they_are(key: str, text: str, body: bytes) -> None:
    secret = Secret(key)
    if not any(character in text for character in key):
        assert secret.masked(text) == secret.masked_error(text) == text
    if not any(character.encode() in body for character in key):
        assert secret.masked_json(body) == body


def test_ordinary_errors_stay_as_they_are() -> None:
    said = "https://api.example.org/v1 answers 429: Rate limit reached for org-small... try again in 1.5s (max 4096)."
    assert SECRET.masked_error(said) == said
