"""Shared by the tests of views: programs are not read, unless a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from colt.tvm.programs.listing import Listing
from colt.views.report import content


@pytest.fixture(autouse=True, scope="module")
def no_listings() -> Iterator[None]:
    """TVM reads programs in a process that takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "listings", lambda paths: [Listing("", f"there is no {path.name}") for path in paths])
        yield


@pytest.fixture
def real_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have TVM read programs."""
    from colt.tvm.programs.listing import listings

    monkeypatch.setattr(content, "listings", listings)
