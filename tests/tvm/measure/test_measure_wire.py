"""Worker output is untrusted: only well-formed replies come through, and nothing in them is ever run."""

import json
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.tvm.measure.messages import (
    Entered,
    Exported,
    Failed,
    InterleaveRequest,
    MeasureRequest,
    Ready,
    Stage,
    Timed,
    Verified,
)
from colt.tvm.measure.wire import MAX_MESSAGE_CHARS, FrameReader, WireError, decode_reply, encode_reply, frame

REPLIES = [
    Ready(),
    Entered(Stage.TIMING, 3),
    Timed(((1.5, 2.5), (3.0,))),
    Verified(True, 0.0, 1e-7, 1e-4, ""),
    Verified(False, None, None, 1e-4, "wrong"),
    Exported(),
    Failed("ValueError: größer"),
]


def unframe(data: bytes) -> bytes:
    reader = FrameReader(1 << 20)
    reader.feed(data)
    payload = reader.next()
    assert payload is not None
    return payload


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_replies_survive_the_wire(reply):
    assert decode_reply(unframe(encode_reply(reply))) == reply


def test_long_messages_are_cut():
    assert decode_reply(unframe(encode_reply(Failed("x" * 10_000)))) == Failed("x" * MAX_MESSAGE_CHARS)


def test_frames_arrive_in_pieces():
    reader = FrameReader(100)
    stream = frame(b"one") + frame(b"") + frame(b"three")
    payloads = []
    for byte in stream:
        reader.feed(bytes([byte]))
        while (payload := reader.next()) is not None:
            payloads.append(payload)
    assert payloads == [b"one", b"", b"three"]


def test_a_frame_that_claims_too_much_is_refused_before_it_arrives():
    reader = FrameReader(100)
    reader.feed(frame(b"x" * 101)[:4])
    with pytest.raises(WireError, match="101 bytes"):
        reader.next()


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    payload = pickle.dumps(_Bomb(tmp_path / "run"))
    with pytest.raises(WireError):
        decode_reply(payload)
    assert not (tmp_path / "run").exists()
    pickle.loads(payload)
    assert (tmp_path / "run").exists()  # it would have been


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"type": "Ready", "extra": 1}',
        b'{"type": "Launch"}',
        b'{"type": ["Ready"]}',
        b'{"type": "Failed"}',
        b'{"type": "Failed", "message": 5}',
        json.dumps({"type": "Failed", "message": "x" * (MAX_MESSAGE_CHARS + 1)}).encode(),
        b'{"type": "Entered", "stage": "sleeping", "module": 0}',
        b'{"type": "Entered", "stage": "building", "module": -1}',
        b'{"type": "Entered", "stage": "building", "module": true}',
        b'{"type": "Entered", "stage": "building", "module": 1000000}',
        b'{"type": "Timed", "runs_us": []}',
        b'{"type": "Timed", "runs_us": [[]]}',
        b'{"type": "Timed", "runs_us": [1.0]}',
        b'{"type": "Timed", "runs_us": [[0]]}',
        b'{"type": "Timed", "runs_us": [[-1.0]]}',
        b'{"type": "Timed", "runs_us": [[NaN]]}',
        b'{"type": "Timed", "runs_us": [[Infinity]]}',
        b'{"type": "Timed", "runs_us": [[1e999]]}',
        b'{"type": "Timed", "runs_us": [[1' + b"0" * 400 + b"]]}",
        b'{"type": "Timed", "runs_us": [[true]]}',
        b'{"type": "Timed", "runs_us": [["1.0"]]}',
        b'{"type": "Verified", "ok": 1, "max_abs_error": 0, "max_rel_error": 0, "tolerance": 0, "message": ""}',
        b'{"type": "Verified", "ok": true, "max_abs_error": "", "max_rel_error": 0, "tolerance": 0, "message": ""}',
        b'{"type": "Verified", "ok": true, "max_abs_error": 0, "max_rel_error": 0, "tolerance": null, "message": ""}',
    ],
    ids=lambda payload: payload[:60].decode("latin1"),
)
def test_malformed_replies_are_refused(payload):
    with pytest.raises(WireError):
        decode_reply(payload)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "runs_us", "message", "stage"]), inner),
)


@given(st.binary() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_reply_or_a_wire_error(payload):
    try:
        reply = decode_reply(payload)
    except WireError:
        return
    assert decode_reply(unframe(encode_reply(reply))) == reply


def test_requests_know_what_answers_them():
    measure = MeasureRequest(None, None, None)
    assert measure.answered_by(Timed(((1.0, 2.0),)))
    assert not measure.answered_by(Timed(((1.0,), (2.0,))))
    assert not measure.answered_by(Exported())
    interleave = InterleaveRequest((None, None), 3, None)
    assert interleave.answered_by(Timed(((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))))
    assert not interleave.answered_by(Timed(((1.0, 2.0, 3.0), (1.0, 2.0))))
