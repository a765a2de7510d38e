"""Worker output is untrusted: only well-formed replies come through, and nothing in them is ever run."""

import json
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.tvm.workers.messages import (
    BuildRequest,
    Built,
    ClockedReply,
    Crashed,
    Entered,
    ExportedReply,
    FailedReply,
    Gauged,
    InterleaveRequest,
    LostReply,
    MeasureRequest,
    Ready,
    Remark,
    Stage,
    TimedReply,
    VerifiedReply,
)
from colt.tvm.workers.wire import MAX_MESSAGE_CHARS, FrameReader, WireError, decode_reply, encode_reply, frame

REPLIES = [
    Ready(),
    Entered(Stage.TIMING, 3),
    Built(),
    TimedReply(
        ((1.5, 2.5), (3.0,)),
        slowdowns=(1.0, 2.5),
        disturbed=1,
        seconds_waiting=0.25,
        quiet_us=430.0,
        references_us=(430.0, 512.0),
        dropped=True,
        host="10.0.0.7:9091",
    ),
    Gauged(431.5, "10.0.0.7:9091"),
    VerifiedReply(True, 0.0, 1e-7, 1e-4, ""),
    VerifiedReply(False, None, None, 1e-4, "wrong"),
    ClockedReply((1.5e6, 0.0)),
    ExportedReply(),
    FailedReply("ValueError: größer"),
    Crashed("the process that ran it on the board has ended, twice"),
    LostReply("no board with key 'pi' was free"),
    Remark("the board uses 2 threads"),
]


def timed(**fields: str) -> bytes:
    """A good reply of type TimedReply, but for these fields of raw JSON."""
    good = {
        "runs_us": "[[1.0]]",
        "slowdowns": "[1.0]",
        "disturbed": "0",
        "seconds_waiting": "0",
        "quiet_us": "430",
        "references_us": "[431]",
        "dropped": "false",
        "host": '""',
    }
    content = ", ".join(f'"{name}": {value}' for name, value in {**good, **fields}.items())
    return f'{{"type": "TimedReply", {content}}}'.encode()


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
    assert decode_reply(unframe(encode_reply(FailedReply("x" * 10_000)))) == FailedReply("x" * MAX_MESSAGE_CHARS)


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
        b'{"type": "FailedReply"}',
        b'{"type": "FailedReply", "message": 5}',
        json.dumps({"type": "FailedReply", "message": "x" * (MAX_MESSAGE_CHARS + 1)}).encode(),
        b'{"type": "Entered", "stage": "sleeping", "module": 0}',
        b'{"type": "Entered", "stage": "building", "module": -1}',
        b'{"type": "Entered", "stage": "building", "module": true}',
        b'{"type": "Entered", "stage": "building", "module": 1000000}',
        timed(runs_us="[]"),
        timed(runs_us="[[]]"),
        timed(runs_us="[1.0]"),
        timed(runs_us="[[0]]"),
        timed(runs_us="[[-1.0]]"),
        timed(runs_us="[[NaN]]"),
        timed(runs_us="[[Infinity]]"),
        timed(runs_us="[[1e999]]"),
        timed(runs_us="[[1" + "0" * 400 + "]]"),
        timed(runs_us="[[true]]"),
        timed(runs_us='[["1.0"]]'),
        timed(slowdowns="[]"),
        timed(slowdowns="[0.99]"),
        timed(slowdowns="1.0"),
        timed(disturbed="-1"),
        timed(seconds_waiting="-1"),
        timed(quiet_us="0"),
        timed(quiet_us="null"),
        timed(references_us="[]"),
        timed(references_us="[0]"),
        timed(references_us="431"),
        timed(dropped="0"),
        timed(host="7"),
        b'{"type": "Gauged", "reference_us": -1, "host": ""}',
        b'{"type": "VerifiedReply", "ok": 1, "max_abs_error": 0, "max_rel_error": 0, "tolerance": 0, "message": ""}',
        b'{"type":"VerifiedReply","ok":true,"max_abs_error":"","max_rel_error":0,"tolerance":0,"message":""}',
        b'{"type":"VerifiedReply","ok":true,"max_abs_error":0,"max_rel_error":0,"tolerance":null,"message":""}',
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


def test_what_malformed_replies_are_made_from_is_well_formed():
    assert decode_reply(timed()) == TimedReply(((1.0,),), (1.0,), 0, 0.0, 430.0, (431.0,))


def test_requests_know_what_answers_them():
    def answer(*runs_us, slowdowns):
        return TimedReply(runs_us, (1.0,) * slowdowns, 0, 0.0, 430.0, (431.0,) * slowdowns)

    assert BuildRequest(None).answered_by(Built())
    measure = MeasureRequest(None, None, None, None)
    assert measure.answered_by(answer((1.0, 2.0), slowdowns=1))
    assert not measure.answered_by(answer((1.0, 2.0), slowdowns=2))
    assert not measure.answered_by(answer((1.0,), (2.0,), slowdowns=1))
    assert not measure.answered_by(Built())
    interleave = InterleaveRequest((None, None), 3, None, None)
    assert interleave.answered_by(answer((1.0, 2.0), (1.0, 2.0), (1.0, 2.0), slowdowns=3))
    assert not interleave.answered_by(answer((1.0, 2.0), (1.0, 2.0), (1.0, 2.0), slowdowns=1))
    assert not interleave.answered_by(answer((1.0, 2.0), (1.0, 2.0), (1.0,), slowdowns=3))
