"""Where the steps of one training are queued: on a GPU, a stream of its own and a recorded step."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch

Step = Callable[[], None]


class Stream:
    """Runs everything at once, in the order of the calls: what a CPU does.

    Used as a context, around all work of one training.
    """

    # Whether a step is recorded once and replayed. It then finds whatever changes between steps in
    # tensors that stay where they are; a Python number would be recorded with its first value.
    replays = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self, step: Step, generators: Sequence[torch.Generator]) -> Step | None:
        """What does the same as the step from now on, None where that is the step itself.

        Args:
            step: to record; nothing keeps it.
            generators: those it draws from.
        """
        return None

    def wait(self) -> None:
        """Returns when everything queued so far is done."""


class CudaStream(Stream):
    """A stream of its own on a GPU, so that several trainings can share the device.

    Source: the CUDA programming guide, "Streams" and "CUDA graphs".

    Args:
        device: the GPU.
        graphs: whether steps are recorded; without, each of their kernels is launched by itself,
            which gives the same results.
    """

    replays = True

    def __init__(self, device: torch.device, *, graphs: bool) -> None:
        self.graphs, self.entered = graphs, False
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        if not self.entered:
            # What was queued outside before, the data and the net's first weights, comes first.
            self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
            self.entered = True
        self.context = torch.cuda.stream(self.stream)
        self.context.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(*error)

    def record(self, step: Step, generators: Sequence[torch.Generator]) -> Step | None:
        """Records the step as a CUDA graph; this runs nothing yet."""
        if not self.graphs:
            return None
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with _no_collection(), torch.cuda.graph(graph, stream=self.stream):
            step()
        replay: Step = graph.replay
        return replay

    def wait(self) -> None:
        self.stream.synchronize()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python from freeing older tensors while a step is recorded, which would end that."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def open_stream(device: torch.device, *, graphs: bool = True) -> Stream:
    """The stream for a training on this device."""
    return CudaStream(device, graphs=graphs) if device.type == "cuda" else Stream()
