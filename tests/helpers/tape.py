"""A recording of tensor operations that is replayed as a CUDA graph is, but on a CPU.

Like a graph it keeps the memory of every intermediate result and all numbers that the host passed
when it was recorded. What a step looks up on the host at each call would therefore be wrong in the
replay, here as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cifar_tricks.training.streams import Step, Stream


class Tape(TorchDispatchMode):
    """Records every operation that runs in its ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Runs all of it again, each result where it was."""
        for func, args, kwargs, result in self.calls:
            if func.is_view:
                continue  # looks at the same memory as before
            again = func(*args, **kwargs)
            if not func._schema.is_mutable:
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor):
                        old.copy_(new)


class Operations(TorchDispatchMode):
    """Names what runs in its ``with`` block and would be a kernel on a GPU.

    It keeps no tensor: what a tape holds of a step, a gradient above all, has to be copied where it
    would be taken as it is.
    """

    NO_KERNEL = ("profiler.", "aten._unsafe_view", "aten.new_empty", "aten.empty")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and not str(func).startswith(self.NO_KERNEL):
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class TapeStream(Stream):
    """Replays steps as a GPU does."""

    replays = True

    def __init__(self, device: torch.device) -> None:
        self.tape = Tape()

    def record(self, step: Step, generators: Sequence[torch.Generator]) -> Step | None:
        # Recording on a tape runs the step, which recording a CUDA graph does not.
        with self.tape:
            step()
        waiting = [True]

        def replay() -> None:
            if waiting:
                waiting.pop()
            else:
                self.tape.replay()

        return replay


class EagerStream(Stream):
    """Runs the same steps one by one, as a GPU without graphs does."""

    replays = True

    def __init__(self, device: torch.device) -> None:
        pass
