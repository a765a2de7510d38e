"""What happens around the import of a module, without importing it now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader, find_spec
from types import ModuleType

_TVM = "tvm"
_left_out: set[str] = set()


def import_after_tvm(name: str) -> None:
    """Import a module as soon as TVM is there, now if it has been imported already; unless it is left out by then."""

    @contextmanager
    def then() -> Iterator[None]:
        yield
        if name not in _left_out:
            import_module(name)

    if _TVM not in sys.modules:
        around_import(_TVM, then)
    elif name not in _left_out:
        import_module(name)


def leave_out(name: str) -> None:
    """Have :func:`import_after_tvm` not import that module."""
    _left_out.add(name)


def around_import(name: str, around: Callable[[], AbstractContextManager[None]]) -> None:
    """Have a module that has not been imported run inside of ``around()`` when it is."""
    sys.meta_path.insert(0, _Finder(name, lambda loader: _Inside(loader, around)))


def run_on_first_use(name: str) -> None:
    """Have a module that has not been imported run when something of it is first used, not when it is imported."""
    sys.meta_path.insert(0, _Finder(name, LazyLoader))


class _Finder(MetaPathFinder):
    """Finds the module as others do, with another loader than theirs."""

    def __init__(self, name: str, loaded_by: Callable[[Loader], Loader]) -> None:
        self._name = name
        self._loaded_by = loaded_by

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called for every import until that of the module."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = self._loaded_by(spec.loader)
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
