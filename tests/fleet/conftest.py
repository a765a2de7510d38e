"""For all tests of fleets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from colt.fleet.host import lock_folders


@pytest.fixture(autouse=True, scope="package")
def no_locks_left() -> Iterator[None]:
    """Hosts of tests have this process's id in their names; the folders of their locks go when they have gone."""
    yield
    for folder in lock_folders().glob(f"*-{os.getpid()}*"):
        shutil.rmtree(folder)
