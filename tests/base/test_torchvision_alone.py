"""torchvision without torch.compile: the same nets, and torch.compile where it is asked for."""

import subprocess
import sys

from helpers.project import ROOT

PROGRAM = """
import sys
from cifar_tricks.base.torchvision_alone import leave_compiler_out
leave_compiler_out()
import torch, torchvision
from torchvision.ops import roi_align
assert torchvision.models.resnet18().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
assert "torch._dynamo" not in sys.modules
# Layers that ask whether they can be compiled are answered by torch.compile itself.
ask = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert ask("cpu") is True and ask("meta") is False
images, boxes = torch.rand(1, 3, 8, 8), torch.tensor([[0.0, 1, 1, 6, 6]])
assert roi_align(images, boxes, (2, 2)).shape == (1, 3, 2, 2)
import torch._dynamo.utils
assert torch._dynamo.utils.is_compile_supported("cpu") and torch._dynamo.optimize
"""


def test_torchvision_does_not_import_the_compiler() -> None:
    """It would take as long as PyTorch itself, in every stage that looks at ImageNet's net."""
    command = [sys.executable, "-c", PROGRAM]
    subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}, check=True)
