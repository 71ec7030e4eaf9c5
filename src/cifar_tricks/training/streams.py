"""Where the steps of one training are queued: on a GPU, a stream of its own and a recorded step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def record(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """What does the same as the step from now on; ``generators`` are those it draws from."""
        return step

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
        self.graphs = graphs
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        # What was queued outside, the data and the net's first weights above all, comes first.
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        self.context = torch.cuda.stream(self.stream)
        self.context.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(*error)

    def record(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Records the step as a CUDA graph; this runs nothing yet."""
        if not self.graphs:
            return step
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self.stream):
            step()
        replay: Step = graph.replay
        return replay

    def wait(self) -> None:
        self.stream.synchronize()


def open_stream(device: torch.device, *, graphs: bool = True) -> Stream:
    """The stream for a training on this device."""
    return CudaStream(device, graphs=graphs) if device.type == "cuda" else Stream()
