"""For all tests of fleets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from colt.util.lock import ALL_SHARE


@pytest.fixture(autouse=True, scope="package")
def no_locks_left() -> Iterator[None]:
    """Hosts of tests have this process's id in their names; the locks of those that were killed go at the end."""
    yield
    for path in ALL_SHARE.glob(f"colt-host-*-{os.getpid()}*.lock"):
        path.unlink(missing_ok=True)
