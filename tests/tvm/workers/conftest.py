import pytest

from colt.tvm.devices.host import resolve_target
from colt.tvm.workers import LocalMeasurer

THREADS = 2


@pytest.fixture(scope="session")
def target():
    return resolve_target(None, THREADS)


@pytest.fixture(scope="session")
def shared_measurer(target):
    with LocalMeasurer(target, THREADS, workers=1) as measurer:
        yield measurer


@pytest.fixture
def measurer(shared_measurer):
    """A measurer whose counters start at zero; the worker is that of earlier tests if they left it alive."""
    for worker in shared_measurer._pool.workers:
        worker.restarts = 0
    shared_measurer.seconds_building = shared_measurer.seconds_timing = 0.0
    return shared_measurer
