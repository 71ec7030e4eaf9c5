"""The GPU, its driver, and whether this PyTorch can use them.

PyTorch is asked in a process of its own, since a broken installation may end the process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_tricks.doctor.finding import FAIL, NOTE, OK, Finding

SECONDS = 120.0  # a first import of PyTorch from a slow disk
SOURCES = Path(__file__).parents[2]
WSL_TOOLS = "/usr/lib/wsl/lib"
PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU as the system sees it, whatever PyTorch says.

    Args:
        name: its model.
        driver: version of its driver; "" where there is none.
        cuda: newest CUDA that the driver can run; "" where that is not known.
    """

    name: str
    driver: str = ""
    cuda: str = ""


def device() -> Iterator[Finding]:
    """What trainings will run on."""
    gpu, found = find_gpu(), ask_torch()
    build = f"PyTorch {found.get('torch')}"
    if found.get("missing"):
        yield Finding("device", FAIL, "PyTorch is not installed: make setup")
    elif not found.get("torch"):
        yield Finding("device", FAIL, f"PyTorch cannot be loaded ({found['error']}): make setup")
    elif found["name"] and not found["error"]:
        driver = f", driver {gpu.driver}" if gpu else ""
        yield Finding("device", OK, f"{found['name']}{driver}, {build} for CUDA {found['cuda']}")
    elif gpu is None:
        yield Finding("device", OK, f"no NVIDIA GPU, so trainings run on the CPU; {build}")
    elif _cpu_is_wanted():
        text = f"{gpu.name} is not used: params.yaml says device: cpu; {build}"
        yield Finding("device", OK, text)
    elif (hidden := os.environ.get("CUDA_VISIBLE_DEVICES")) in ("", "-1"):
        text = f"{gpu.name} is hidden by CUDA_VISIBLE_DEVICES={hidden}, so trainings run on the CPU"
        yield Finding("device", NOTE, text)
    else:
        yield Finding("device", FAIL, f"{gpu.name} cannot be used: {_reason(gpu, found)}")


def _reason(gpu: VisibleGpu, found: dict[str, Any]) -> str:
    """Why PyTorch cannot use this GPU, and what to do."""
    build = f"this PyTorch ({found['torch']})"
    if not found["cuda"]:
        return f"{build} is one for CPUs only: make setup TORCH=lock installs one for CUDA"
    if not gpu.driver:
        return "it has no driver: install NVIDIA's"
    if gpu.cuda and int(gpu.cuda.split(".")[0]) < int(found["cuda"].split(".")[0]):
        return (
            f"its driver {gpu.driver} runs CUDA up to {gpu.cuda}, {build} needs {found['cuda']}: "
            f"update the driver, or install a PyTorch for CUDA {gpu.cuda}"
        )
    return f"{build} says: {found['error'] or 'no CUDA device'}; or set device: cpu in params.yaml"


def _cpu_is_wanted() -> bool:
    try:
        return bool(re.search(r"^device:\s*cpu\b", Path("params.yaml").read_text("utf-8"), re.M))
    except (OSError, ValueError):
        return False


def find_gpu() -> VisibleGpu | None:
    """The first NVIDIA GPU: from its driver's tool, its driver's files, or the list of devices."""
    tool = shutil.which("nvidia-smi", path=f"{os.environ.get('PATH', os.defpath)}:{WSL_TOOLS}")
    if tool:
        listed = _output([tool, "--query-gpu=name,driver_version", "--format=csv,noheader"])
        found = re.search(r"CUDA (?:UMD )?Version: *([\d.]+)", _output([tool]))
        for line in listed.splitlines():
            name, separator, driver = line.partition(",")
            if separator:
                return VisibleGpu(name.strip(), driver.strip(), found[1] if found else "")
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        model = re.search(r"Model:\s*(.+)", path.read_text())
        version = re.search(r"\s(\d+\.[\d.]+)\s", Path("/proc/driver/nvidia/version").read_text())
        return VisibleGpu(model[1] if model else "NVIDIA GPU", version[1] if version else "?")
    for path in sorted(PCI_DEVICES.glob("*")):
        kinds = [(path / name).read_text().strip() for name in ("vendor", "class")]
        if kinds[0] == NVIDIA and kinds[1].startswith(DISPLAY):
            return VisibleGpu(f"an NVIDIA GPU ({path.name})")
    return None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def ask_torch() -> dict[str, Any]:
    """See :func:`probe`; ``error`` says how the process ended where it did not answer."""
    paths = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {SECONDS:g} s"}
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:]
        return {"error": f"it ended with code {done.returncode}: {''.join(last)}"}


def probe() -> dict[str, Any]:
    """What PyTorch says of itself.

    Returns:
        ``missing`` where there is none; else ``torch`` and ``cuda``, the versions; ``name`` of the
        GPU, "" for none; ``error``, why a sum on the GPU failed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        return {"missing": True} if error.name == "torch" else {"error": str(error)}
    except Exception as error:  # such as a library that is not there
        return {"error": str(error)}
    found = {"torch": torch.__version__, "cuda": torch.version.cuda, "name": "", "error": ""}
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # tells why there is no GPU
        found["name"] = torch.cuda.get_device_name()
        torch.ones(2, device="cuda").sum().item()
    except Exception as error:
        found["error"] = str(error).partition("\n")[0]
    return found


if __name__ == "__main__":
    print(json.dumps(probe()))
