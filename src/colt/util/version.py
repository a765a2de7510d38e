"""The version of COLT, and of what it stands on."""

from __future__ import annotations

import importlib.metadata
import platform

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on."""
    packages = ("apache-tvm", "apache-tvm-ffi", "numpy", "xgboost-cpu")
    found = {"colt": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in packages}
