"""Runs something once TVM has been imported, now if it has been already, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_TVM = "tvm"


def after_tvm(act: Callable[[], object]) -> None:
    """Call ``act`` once, as soon as TVM is there."""
    if _TVM in sys.modules:
        act()
    else:
        sys.meta_path.insert(0, _Finder(act))


class _Finder(MetaPathFinder):
    """Finds TVM as others do, with a loader that acts afterwards."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called for every import until TVM's."""
        if name != _TVM:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Acting(spec.loader, self._act)
        return spec


class _Acting(Loader):
    def __init__(self, loader: Loader, act: Callable[[], object]) -> None:
        self._loader = loader
        self._act = act

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, which it then has again."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._act()
