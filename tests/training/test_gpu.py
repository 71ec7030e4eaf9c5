"""What a GPU is asked to do, as far as a machine without one can tell."""

import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from helpers.project import ROOT
from helpers.recipes import CPU, make_recipe
from helpers.tape import EagerStream, TapeStream
from torch._subclasses.fake_tensor import FakeTensorMode

from cifar_tricks.base import resources
from cifar_tricks.base.arrays import Arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.commands import scheduling, share
from cifar_tricks.evaluation import scoring
from cifar_tricks.parameters.dependencies import study_parameters
from cifar_tricks.parameters.load import load_params
from cifar_tricks.training import device as devices
from cifar_tricks.training import images, loop
from cifar_tricks.training.call import Call
from cifar_tricks.training.checkpoint import Checkpoint
from cifar_tricks.training.images import Images, make_training_data
from cifar_tricks.training.loop import Task, fit
from cifar_tricks.training.predicting import predict
from cifar_tricks.training.recipe import Recipe
from cifar_tricks.training.streams import CudaStream
from cifar_tricks.training.trainer import Trainer
from cifar_tricks.tricks import load_trick


def tasks(recipe: Recipe, arrays: Arrays, *seeds: int, shared: bool | None = None) -> list[Task]:
    copies = arrays if recipe.copies else None
    return [
        Task(
            seed=seed,
            data=make_training_data(arrays, copies, recipe, seed=seed, device=CPU, shared=shared),
        )
        for seed in seeds
    ]


def test_the_settings_for_a_gpu_do_not_import_the_compiler() -> None:
    program = (
        "import sys, torch; sys.path.insert(0, 'src')\n"
        "from cifar_tricks.training.device import prepare\n"
        "prepare(torch.device('cuda'), threads=1, precision='tf32')\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32\n"
        "loaded = {name.partition('.')[2] for name in sys.modules if name.startswith('torch.')}\n"
        "assert not loaded & {'_dynamo', '_inductor'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("stream", [EagerStream, TapeStream])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_finished_training_is_freed_before_its_result_is_given_away(
    precision: str, stream: type, arrays: Arrays
) -> None:
    """Without Python's collector, which a cycle of references would need."""
    recipe = make_recipe(precision=precision, num_epochs=1)
    gc.collect()
    gc.disable()
    try:
        results = fit(recipe, tasks(recipe, arrays, 0, 1, 2), device=CPU, open_stream=stream)
        left = [sum(type(o) is Trainer for o in gc.get_objects()) for _ in results]
    finally:
        gc.enable()
    assert left == [2, 1, 0]


@pytest.mark.parametrize("trick", ["baseline", "augment"])
def test_seeds_that_share_the_images_of_a_file_train_to_the_same_bytes(
    trick: str, arrays: Arrays
) -> None:
    recipe = load_trick(trick)().apply(make_recipe())
    together = tasks(recipe, arrays, 0, 1, shared=True)
    first, second = (task.data.train for task in together)
    assert isinstance(first, Images) and isinstance(second, Images)
    assert first.pixels is second.pixels is together[0].data.validation.pixels  # type: ignore[attr-defined]
    for (_, found), (_, alone) in zip(
        fit(recipe, together, device=CPU),
        fit(recipe, tasks(recipe, arrays, 0, 1, shared=False), device=CPU),
        strict=True,
    ):
        assert found.progress == alone.progress
        assert all(torch.equal(found.weights[name], alone.weights[name]) for name in alone.weights)
        assert (found.train, found.validation) == (alone.train, alone.validation)


def test_the_shared_images_are_freed_with_their_file() -> None:
    file = images.Arrays(arrays={}, sha256="")
    images._whole_files[file] = {}
    known = len(images._whole_files)
    del file
    assert len(images._whole_files) == known - 1


def test_a_step_in_bf16_casts_weights_and_gradients_at_once(arrays: Arrays) -> None:
    """Against the same step, all left to autocast."""
    recipe = load_trick("batch_norm")().apply(make_recipe(precision="bf16"))
    data = make_training_data(arrays, None, recipe, seed=0, device=CPU)
    runs = [Trainer(recipe, data, seed=0, device=CPU) for _ in range(2)]
    plain = runs[1]
    assert runs[0].half is not None
    plain.half, plain.stepped = None, plain.trained
    plain.with_gradient = list(plain.trained.parameters())
    for run in runs:
        with run.turn():
            for _ in range(5):
                run.train_step()
    both = zip(runs[0].net.state_dict().items(), plain.net.state_dict().items(), strict=True)
    for (name, found), (same_name, expected) in both:
        assert name == same_name and found.dtype == expected.dtype
        assert torch.equal(found, expected), name
    assert torch.equal(runs[0].sums, plain.sums)


def test_validation_takes_larger_batches_on_a_gpu() -> None:
    """Of tensors that have shapes and a device but no content."""
    sizes: list[int] = []

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return x.flatten(1)[:, :10]

    for name, largest in (("cpu", 250), ("cuda", 1250)):
        sizes.clear()
        with FakeTensorMode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # autocast says that there is no GPU
            whole = Images(
                pixels=torch.empty(5000, 32, 32, 3, dtype=torch.uint8, device=name),
                classes=torch.empty(5000, dtype=torch.int64, device=name),
                rows=torch.arange(5000, device=name),
            )
            logits = predict(Net(), whole, lambda batch: batch.float(), precision="fp32")
        assert logits.shape == (5000, 10) and logits.device.type == name
        assert set(sizes) == {largest}


class Counted(Checkpoint):
    """Notes when it is written."""

    saved: ClassVar[list[tuple[str, int]]] = []

    def save(self, state: dict[str, object]) -> None:
        self.saved.append((self.path.name, state["progress"]["step"]))  # type: ignore[index]
        super().save(state)


def test_a_state_is_written_when_it_is_due_and_when_its_own_training_ends(
    arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(load_trick("batch_norm")().apply(make_recipe()), num_epochs=40)
    todo = [
        replace(task, checkpoint=Counted(path=tmp_path / f"{task.seed}"))
        for task in tasks(recipe, arrays, 0, 1, 2)
    ]
    Counted.saved.clear()
    ends = {str(task.seed): fitted.progress.step for task, fitted in fit(recipe, todo, device=CPU)}
    assert len(set(ends.values())) > 1 and sorted(Counted.saved) == sorted(ends.items())
    Counted.saved.clear()
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    for task in todo:
        assert task.checkpoint is not None
        task.checkpoint.path.unlink()
    list(fit(recipe, todo, device=CPU))
    assert len(Counted.saved) == sum(ends.values())


class Queue:
    """In the place of ``torch.cuda.Stream``: counts what waits for it."""

    device, waits = CPU, 0

    def __init__(self, device: torch.device) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        self.waits += 1


def test_a_stream_waits_once_for_what_was_queued_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", Queue)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    stream = CudaStream(CPU, graphs=True)
    for _ in range(5):
        with stream:
            pass
    assert stream.stream.waits == 1


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_collected_while_a_step_is_recorded(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []

    @contextmanager
    def graph(made: object, *, stream: object) -> Iterator[None]:
        enabled.append(gc.isenabled())
        yield

    class Graph:
        def replay(self) -> None:
            pass

    def step() -> None:
        enabled.append(gc.isenabled())
        if fails:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "Stream", Queue)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    with pytest.raises(torch.OutOfMemoryError) if fails else nullcontext():
        assert CudaStream(CPU, graphs=True).record(step, []) is not None
    assert enabled == [False, False] and gc.isenabled()


def test_without_graphs_the_step_itself_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", Queue)
    assert CudaStream(CPU, graphs=False).record(lambda: None, []) is None


@pytest.mark.parametrize(
    ("optimizer", "recorded"),
    [
        ("torch.optim.SGD", True),
        ("torch.optim.Adam", True),
        ("torch.optim.AdamW", True),
        ("torch.optim.Adagrad", False),  # its fused form raises on a GPU
        ("torch.optim.RMSprop", False),
    ],
)
def test_only_steps_that_a_gpu_can_replay_are_recorded(
    optimizer: str, recorded: bool, arrays: Arrays
) -> None:
    recipe = make_recipe(optimizer=Call(optimizer, {"lr": 1e-3}), num_epochs=1)
    stream = TapeStream(CPU)
    list(fit(recipe, tasks(recipe, arrays, 0), device=CPU, open_stream=lambda device: stream))
    assert bool(stream.tape.calls) is recorded


def test_streams_get_queues_of_their_own_before_cuda_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str | None] = []

    def is_available() -> bool:
        seen.append(devices.os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS"))
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS", raising=False)
    assert devices.choose_device("auto") == CPU
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "8")  # the user's own word
    devices.choose_device("auto")
    assert seen == ["32", "8"]


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_this_pytorch_cannot_use_is_told_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it warns where the driver is too old; training on the CPU would take hours for minutes."""

    def is_available() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found version "
            "12020).\nPlease update your GPU driver",
            stacklevel=1,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(devices.resources, "has_gpu", lambda: True)
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"driver .* is too old") as told:
        warnings.simplefilter("error")
        devices.choose_device(name)
    assert str(told.value).startswith(f"params.yaml: device = {name}: ")
    assert "valid: cpu" in str(told.value) and "\n" not in str(told.value)
    assert devices.choose_device("cpu") == CPU


def test_nets_trained_in_tf32_are_scored_in_it(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """In a CPU's own precision where there is no GPU."""
    monkeypatch.chdir(ROOT)
    params = load_params()
    size = params.scales["quick"].model_copy(update={"precision": "tf32"})
    params = params.model_copy(update={"scales": {**params.scales, "quick": size}})
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(
        scoring, "prepare", lambda device, threads, precision: seen.append((device.type, precision))
    )
    for name in ("cpu", "cuda"):
        monkeypatch.setattr(scoring, "choose_device", lambda _, name=name: torch.device(name))
        scoring._prepared_device(params)
    assert seen == [("cpu", "fp32"), ("cuda", "tf32")]


def test_the_device_that_auto_stands_for_is_told_and_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.device == "auto"
    for there in (False, True):
        monkeypatch.setattr(resources, "has_gpu", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
        scheduling.tell_device_choice(params)
        scheduling.tell_device_choice(params)
    assert capsys.readouterr().out.splitlines() == ["device: cpu"] * 2 + ["device: cuda (a GPU)"]


def test_a_gpu_that_cannot_be_used_ends_make_repro_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "has_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="cannot use the GPU of this machine"):
        scheduling.num_jobs("auto", load_params(ROOT / "params.yaml"))


def test_a_scale_for_gpus_is_not_shared_out_on_a_cpu() -> None:
    params = load_params(ROOT / "params.yaml")
    share.check_scale(params, gpu=False)
    params = params.model_copy(update={"scale": "full_gpu"})
    share.check_scale(params, gpu=True)
    with pytest.raises(UserError, match=r"scales.full_gpu.device = cuda: .* on cpu here"):
        share.check_scale(params, gpu=False)


def test_a_scale_without_a_device_is_written_as_it_was() -> None:
    params = load_params(ROOT / "params.yaml")
    assert "device" not in study_parameters(params)["size"]
    for name in ("full", "fixed"):
        there = params.model_copy(update={"scale": f"{name}_gpu"})
        assert study_parameters(there)["size"]["device"] == "cuda"
        on_gpu = params.scales[f"{name}_gpu"]
        assert on_gpu == params.scales[name].model_copy(update={"device": "cuda"})
