"""torchvision without torch.compile, whose import takes a process as long as that of PyTorch.

torchvision imports it for one function, which its RoIAlign asks whenever it runs on a GPU. Here the
function is one that imports torch.compile when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

COMPILER, PART, FUNCTION = "torch._dynamo", "torch._dynamo.utils", "is_compile_supported"


def leave_compiler_out() -> None:
    """Lets this process import torchvision so; to be called before it does."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        import_module("torch")
        with _stand_ins():
            super().exec_module(module)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Has modules without content in the place of the compiler's, where that is not loaded."""
    stand_ins = (
        {} if COMPILER in sys.modules else {name: ModuleType(name) for name in (COMPILER, PART)}
    )

    def remove() -> None:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    def real(module: str, name: str) -> Any:
        remove()
        return getattr(import_module(module), name)

    def find(module: str, name: str) -> Any:
        if (module, name) == (PART, FUNCTION):
            return lambda *given: real(module, name)(*given)
        if name.startswith("__") and (module, name) != (COMPILER, "__path__"):
            raise AttributeError(name)  # Python itself looks for it
        return real(module, name)  # what another version of torchvision asks for

    for module, stand_in in stand_ins.items():
        vars(stand_in)["__getattr__"] = partial(find, module)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        remove()
