"""What ends a process ends it from within TVM, too."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import tvm_ffi

import colt.tvm
from colt.util.interrupt import Ended, exit_code
from tests.helpers.lean import without_torch

assert colt.tvm is not None

CALLED_BY_TVM = """
import sys
import colt.tvm
import tvm, tvm_ffi
from colt.util.interrupt import Ended

def called(node):
    raise KeyboardInterrupt

try:
    tvm_ffi.convert(called)(1)
except RuntimeError:
    sys.exit("taken for an error of TVM")
except KeyboardInterrupt:
    print("an end")
"""


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(3), Ended(signal.SIGTERM)])
def test_an_end_that_crosses_tvm_is_still_one(end: BaseException) -> None:
    def called(argument: int) -> None:
        raise end

    with pytest.raises(type(end)) as crossed:
        tvm_ffi.convert(called)(1)
    assert type(crossed.value) is type(end)
    assert not isinstance(end, Ended) or getattr(crossed.value, "code", None) == exit_code(signal.SIGTERM)


def test_importing_the_package_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    told = subprocess.run([sys.executable, "-c", CALLED_BY_TVM], capture_output=True, text=True, check=True)
    assert told.stdout == "an end\n"
