"""The machine of a run: its device, and the settings that make it repeatable."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import warnings
from functools import cache
from pathlib import Path

import torch

from cifar_tricks.base import resources
from cifar_tricks.base.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that params.yaml asks for.

    Args:
        name: auto (CUDA where there is one), cpu or cuda.

    Raises:
        UserError: cuda was asked for and there is none, or there is a GPU that this PyTorch cannot
            use, most often because its driver is too old.
    """
    if name == "cpu":
        return torch.device("cpu")
    # Read with CUDA's first context: by default all streams share eight queues of a GPU.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        return torch.device("cuda")
    if resources.has_gpu():
        reason = " ".join(str(told[0].message).split()) if told else "no CUDA device"
        raise UserError(
            f"params.yaml: device = {name}: PyTorch {torch.__version__} cannot use the GPU of this "
            f"machine ({reason[:300]}); update its driver, or train without it; valid: cpu"
        )
    if name == "cuda":
        raise UserError("params.yaml: device = cuda: no CUDA device is available; valid: auto, cpu")
    return torch.device("cpu")


# Parameters of mallopt in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_memory() -> None:
    """Lets glibc reuse freed memory instead of returning it to the system.

    By default every feature map above 32 MB is mapped and zeroed anew in each step, which cost a
    third of the time of an evaluation and a fifth of that of a training with 128 filters
    (docs/decisions/engine.md). Elsewhere than on glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        # Threads with an arena of their own would map large blocks all the same.
        mallopt(M_ARENA_MAX, 1)


def prepare(device: torch.device, *, threads: int, precision: str = "fp32") -> None:
    """Makes this process compute the same bytes each time; call before any work on the device.

    Args:
        device: where nets will live.
        threads: CPU threads.
        precision: fp32, tf32 or bf16; only for tf32 is anything set here.

    Raises:
        UserError: tf32 on a CPU.
    """
    torch.set_num_threads(threads)
    keep_memory()
    if precision == "tf32" and device.type != "cuda":
        raise UserError("params.yaml: precision = tf32: needs a GPU; valid here: fp32, bf16")
    if device.type == "cuda":
        # cuBLAS needs a fixed workspace to be deterministic; read when its handle is created.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Not use_deterministic_algorithms: that imports torch.compile, more than a second of CPU.
        torch.set_deterministic_debug_mode("error")
        # Only for finding bugs, and costs a pass over every new tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"


@cache
def tell_device(device: torch.device) -> None:
    """Says once in a process where it trains."""
    print(f"device: {device.type} ({device_name(device)})", flush=True)


def device_name(device: torch.device) -> str:
    """The model of the GPU or processor, or at least the processor's kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):  # there on Linux only
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
