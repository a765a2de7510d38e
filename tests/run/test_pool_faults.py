"""Every fault of an endpoint, in whole runs: the trials are the same in number, and the receipt shows the fault."""

from __future__ import annotations

from collections import Counter

import pytest

from colt import events
from colt.proposers.dispatcher import COOLING
from colt.proposers.language.completion import ErrorKind
from colt.store.receipt import ModelPart
from tests.helpers.chat_server import Part
from tests.helpers.pool_runs import KEY_VARIABLE, SLOW, PoolRuns

pytestmark = pytest.mark.real  # a run for each fault of an endpoint
TRIALS = 48
MANY_CALLS = {"proposals_per_call": 1, "model_openings": 1}
"""Settings by which a run takes many calls, if it keeps paying: made-up latencies give models no advantage."""
AT_ONCE = 5
"""Models that play a part in the same run, each its own, beside one that answers well."""

RETRIED = {
    Part.SLOW: ErrorKind.TIMEOUT,
    Part.TRICKLE: ErrorKind.TIMEOUT,
    Part.TRICKLE_HEADERS: ErrorKind.TIMEOUT,
    Part.LIMITED: ErrorKind.RATE_LIMIT,
    Part.ERROR: ErrorKind.SERVER,
    Part.SCHEMA_AS_OBJECT: ErrorKind.SERVER,
    Part.ERROR_IN_BODY: ErrorKind.SERVER,
    Part.HUNG_UP: ErrorKind.CONNECTION,
    Part.DROPPED: ErrorKind.CONNECTION,
}
"""Faults that may pass."""
FAILED = {
    Part.UNAUTHORISED: ErrorKind.AUTH,
    Part.FORBIDDEN: ErrorKind.AUTH,
    Part.KEY_IN_ERROR: ErrorKind.AUTH,
    Part.NO_MONEY: ErrorKind.QUOTA,
    Part.NO_QUOTA: ErrorKind.QUOTA,
    Part.NOT_FOUND: ErrorKind.NOT_FOUND,
    Part.HTML: ErrorKind.NOT_FOUND,
    Part.BAD_REQUEST: ErrorKind.BAD_REQUEST,
    Part.REDIRECT: ErrorKind.BAD_REQUEST,
    Part.SCHEMA_REJECTED: ErrorKind.BAD_REQUEST,
    Part.LIMITED_SECONDS: ErrorKind.RATE_LIMIT,  # it asks for more patience than there is
    Part.LIMITED_DATE: ErrorKind.RATE_LIMIT,
    Part.OVERLOADED: ErrorKind.SERVER,
    Part.GARBAGE: ErrorKind.GARBAGE,
    Part.NO_COMPLETION: ErrorKind.GARBAGE,
    Part.BOMB: ErrorKind.GARBAGE,
    Part.EMPTY: ErrorKind.EMPTY,
    Part.USED_UP: ErrorKind.EMPTY,
    Part.HUGE: ErrorKind.TOO_LARGE,
    Part.HUGE_ERROR: ErrorKind.TOO_LARGE,
}
"""Faults that asking again would not mend."""
OF_NO_USE = (Part.SCHEMA_IGNORED, Part.SCHEMA_TORN, Part.UNKNOWN_KNOBS, Part.HIDDEN_INSTRUCTIONS, Part.KEY_IN_ANSWER)
UNREPORTED = (Part.NO_USAGE, Part.ZERO_USAGE, Part.MAD_USAGE)
ODD = (Part.WRONG_MODEL, Part.REASONING_ONLY)
HOPELESS = [kind for kind in ErrorKind if kind.hopeless]
FAULTLESS = (Part.WELL, Part.REASONING_BESIDE, Part.KEY_IN_HEADER)

GROUPS = [tuple(Part)[first : first + AT_ONCE] for first in range(0, len(Part), AT_ONCE)]


def shown(part: Part, model: ModelPart) -> bool:
    """Whether the receipt shows that the model has that fault."""
    if part in RETRIED:
        kind = RETRIED[part]
        lacks_models = part in SLOW and "closed" in model.failed
        return kind in model.retried or kind in model.failed or lacks_models
    if part in FAILED:
        return FAILED[part] in model.failed
    if part in OF_NO_USE:
        return model.unusable > 0
    if part in UNREPORTED:
        return model.unreported > 0
    if part is Part.WRONG_MODEL:
        return "another-model" in model.served_as
    if part is Part.REASONING_ONLY:
        return model.in_reasoning > 0
    return not model.retried and model.failed.keys() <= {"closed"} and model.answered > 0


def test_every_part_has_a_place_here() -> None:
    assert {*RETRIED, *FAILED, *OF_NO_USE, *UNREPORTED, *ODD, *FAULTLESS} == set(Part)


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("parts", GROUPS, ids=", ".join)
def test_a_fault_costs_no_trial_and_shows(pool_runs: PoolRuns, parts: tuple[Part, ...], always: bool) -> None:
    servers = {
        part: pool_runs.model(
            part.name.lower(),
            1.0,
            [] if always else [part],
            part if always else None,
            api_key_env=KEY_VARIABLE,
            json_schema=part.name.startswith("SCHEMA"),
        )
        for part in parts
    }
    pool_runs.model("good", 8.0, successors=[part.name.lower() for part in parts])  # so that each is asked
    receipt = pool_runs.tune(trials=TRIALS, settings=MANY_CALLS, keep_paying=True).receipt
    assert (receipt.trials.total, receipt.stop_reason) == (TRIALS, "trials")
    assert receipt.verified.ok
    assert receipt.models is not None
    assert receipt.models["good"].answered > 0
    assert receipt.models["good"].failed.keys() <= {"closed"}
    for part, server in servers.items():
        model, times = receipt.models[part.name.lower()], [asked.part for asked in server.asked].count(part)
        assert times == 1 or (times > 1 and (always or part is Part.WELL)), f"{part}: {times}"
        assert shown(part, model), f"{part}: {model}"


def test_faults_in_the_middle_of_a_run_are_counted_one_by_one(pool_runs: PoolRuns) -> None:
    """Between faults the model answers well, so that they never bench it; the receipt has what the server played.

    Proposals by chance may be of no use several times in a row, for which it is benched, too.
    """
    faults = [part for part in Part if part not in (*FAULTLESS, *SLOW) and FAILED.get(part) not in HOPELESS]
    parts = [part for fault in faults for part in (Part.WELL, fault)]
    next_one = ["faulty"]  # so that it meets many of them
    faulty = pool_runs.model("faulty", 1.0, parts, successors=next_one, json_schema=True, concurrency=1)
    pool_runs.model("good", 8.0, successors=next_one)
    receipt = pool_runs.tune(trials=2 * TRIALS, settings=MANY_CALLS, keep_paying=True).receipt
    assert (receipt.trials.total, receipt.stop_reason) == (2 * TRIALS, "trials")
    assert receipt.models is not None
    model = receipt.models["faulty"]
    played = [asked.part for asked in faulty.asked]
    assert len(set(played)) >= 6  # how many it meets depends on how fast each answers
    useless = [event for event in pool_runs.events if isinstance(event, events.Noted) and COOLING in event.message]
    assert model.benched == len(useless)
    lost = model.failed.get("closed", 0)  # under way when the run ended: nobody knows what came of them
    assert 0 <= model.requests - len(played) <= lost
    counted = Counter(model.failed) + Counter(model.retried)
    del counted["closed"]
    kinds = Counter(str((RETRIED | FAILED)[part]) for part in played if part in RETRIED or part in FAILED)
    assert counted <= kinds
    assert (kinds - counted).total() <= lost
    assert model.unusable >= sum(part in OF_NO_USE for part in played) - lost
    assert model.unreported >= sum(part in UNREPORTED for part in played)
    assert 0 <= played.count(Part.WRONG_MODEL) - model.served_as.get("another-model", 0) <= lost
    assert 0 <= played.count(Part.REASONING_ONLY) - model.in_reasoning <= lost
    assert round(model.usd * 10**12) >= faulty.billed_picodollars
