"""The conformance suite of measurers on real workers, and on what records their answers for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colt.measure.base import Measurer
from colt.testing import MEASURER_CHECKS, MeasurerCase, rule
from colt.tvm.programs.program import fingerprint
from colt.tvm.workers import LocalMeasurer
from colt.world.measurer import RecordableMeasurer
from colt.world.world import Live
from tests.helpers import measure_programs as programs


@pytest.fixture(params=["local", "recorded"])
def asked(request: pytest.FixtureRequest, shared_measurer: LocalMeasurer) -> Measurer:
    """A real measurer, asked directly or through the door of a run."""
    return (
        shared_measurer
        if request.param == "local"
        else RecordableMeasurer(Live(), lambda: shared_measurer, fingerprint)
    )


@pytest.mark.parametrize("check", MEASURER_CHECKS, ids=rule)
def test_it_conforms(check: Any, asked: Measurer, target: Any, tmp_path: Path) -> None:
    untuned, fast, wrong = programs.matmul(256), programs.scheduled_matmul(256), programs.matmul_missing_a_term(256)
    check(
        MeasurerCase(
            asked,
            make=lambda: LocalMeasurer(target, 2, workers=1),
            untuned=untuned,
            fast=fast,
            wrong=wrong,
            broken=programs.cannot_be_built,
            folder=tmp_path,
        )
    )
