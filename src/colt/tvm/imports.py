"""What happens around the import of a module, without importing it now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_TVM = "tvm"


def after_tvm(act: Callable[[], object]) -> None:
    """Call ``act`` once, as soon as TVM is there: now if it has been imported already."""

    @contextmanager
    def then() -> Iterator[None]:
        yield
        act()

    if _TVM in sys.modules:
        act()
    else:
        around_import(_TVM, then)


def around_import(name: str, around: Callable[[], AbstractContextManager[None]]) -> None:
    """Have a module that has not been imported run inside of ``around()`` when it is."""
    sys.meta_path.insert(0, _Finder(name, around))


class _Finder(MetaPathFinder):
    """Finds the module as others do, with a loader that runs it inside."""

    def __init__(self, name: str, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._name = name
        self._around = around

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called for every import until that of the module."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Inside(spec.loader, self._around)
        return spec


class _Inside(Loader):
    def __init__(self, loader: Loader, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._loader = loader
        self._around = around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, which it then has again."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with self._around():
            self._loader.exec_module(module)
