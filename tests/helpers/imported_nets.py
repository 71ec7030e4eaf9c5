"""A workplace whose params.yaml names the net of docs/examples and one of timm."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.project import ROOT, link_code
from helpers.synthetic_images import write_data

EXAMPLE = ROOT / "docs/examples/my_nets.py"
PARAMS = """\
scale: quick
model: mine
trick: baseline
device: cpu
records: use
train: {learning_rate: 0.05, batch_size: 16, validations_per_epoch: 2, early_stop_count: 4}
models:
  mine: {target: my_nets.TinyNet, arguments: {width: 4}}
  resnet: {target: timm.create_model, arguments: {model_name: resnet10t, num_classes: 10}}
reference: {filters: [4], kernel_size: 3, stride: 1, padding: 1, pool: 4, hidden: [8]}
factorial: {}
visualize: {layers: {}}
tricks: {baseline: {}, augment: {}, leaky_relu: {}, batch_norm: {}}
improve:
  own: {model: mine, tricks: {leaky_relu: {}, adam: {}}, net: {width: 8}}
combine: {}
sensitivity: {}
transfer: {backbones: [resnet18], learning_rate: 0.0005, batch_size: 16,
           image_size: 32, cache_gb: 1.0}
scales:
  quick: {train_images: 64, validation_images: 32, test_images: 60, num_epochs: 1,
          seeds: [0], precision: fp32, threads: 1}
"""


@pytest.fixture
def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with data, code and these parameters; the current one."""
    folder = tmp_path / "a folder ü"
    link_code(folder)
    shutil.copyfile(EXAMPLE, folder / "my_nets.py")
    (folder / "params.yaml").write_text(PARAMS)
    write_data(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder
    forget_modules(folder)


def forget_modules(folder: Path) -> None:
    """As a new process begins, which a test of an edit would have to start."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{folder}/"):
            del sys.modules[name]
