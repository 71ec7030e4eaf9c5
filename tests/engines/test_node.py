"""What a node does without any engine, and what the driver says of its records."""

import dataclasses
import json
from pathlib import Path

import pytest
from helpers.small_disk import fill, small_disk
from helpers.synthetic_images import make_images
from helpers.workplace import edit, workplace  # noqa: F401 - a fixture

from cifar_tricks.base.arrays import write_arrays
from cifar_tricks.base.files import hash_file
from cifar_tricks.base.locks import sole_writer
from cifar_tricks.base.signed_json import signed, to_json
from cifar_tricks.engines import node, node_store
from cifar_tricks.engines.arrivals import keep, missing, objection
from cifar_tricks.engines.jobs import Job, Trained
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.load import load_params
from cifar_tricks.runs.folders import read_run
from cifar_tricks.runs.train import train_variant

JOB = Job("model2-adam", [0])


def order(study: Study) -> tuple[node.Order, dict[str, bytes]]:
    """An order for a node, and the files that go with it."""
    data = study.data([JOB])
    content, bundle = study.bundle(data)
    made = node.Order(
        bundle=bundle, data=data, command=study.command(JOB), scale=study.params.scale,
        key=JOB.key, seeds=JOB.seeds, gpu=False, weights=True,
    )  # fmt: skip
    return made, {"": content} | {name: Path(name).read_bytes() for name in data}


def test_a_node_trains_and_the_driver_takes_nothing_else(
    workplace: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIFAR_TRICKS_NODE", str(tmp_path / "node"))
    study = Study(load_params(), "cifar_tricks.commands.record", "cpu")
    made, files = order(study)
    # Data that arrive damaged are not kept.
    with pytest.raises(OSError, match="arrives damaged"):
        node.work(made, lambda name: files[name] if name == "" else b"damaged")
    code, last, records, _, _ = node.work(made, lambda name: files[name])
    assert code == 0, last
    record = records[0]
    assert objection(study, JOB.key, 0, record) == ""
    assert node_store.held(tmp_path / "node", "quick", [(JOB.key, 0), ("model1-adam", 0)]) == (
        {(JOB.key, 0): record},
        set(),
    )
    # A second order for the same finds all of it there.
    assert node.work(made, lambda name: pytest.fail(f"{name} is brought again"))[0] == 0

    content = json.loads(record)
    content.pop("sha256")
    content["run"]["recipe"]["batch_size"] = 1
    for wrong, reason in (
        (record.replace(b"adam", b"Adam", 1), "it is damaged: "),
        (record[:-100], "it is damaged: "),
        (b"", "it is damaged: "),
        (to_json(signed(content)), "recipe.batch_size = 1, here 64"),
    ):
        assert objection(study, JOB.key, 0, wrong).startswith(reason)
    assert objection(study, JOB.key, 1, record) == "it is of quick model2-adam seed=0"
    other = dataclasses.replace(study, device="cuda")
    assert objection(other, JOB.key, 0, record) == "it was trained on cpu, not on cuda"


def test_what_a_training_refuses_comes_back_with_its_code(
    workplace: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIFAR_TRICKS_NODE", str(tmp_path / "node"))
    edit("device: auto", "device: cuda")
    made, files = order(Study(load_params(), "cifar_tricks.commands.record"))
    code, last, records, weights, _ = node.work(made, lambda name: files[name])
    assert (
        weights == {}
        and (code, records) == (2, {})
        and last.startswith("error: params.yaml: device = cuda")
    )


def test_a_node_without_room_says_so(
    workplace: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with small_disk(tmp_path / "node", megabytes=8) as disk:
        monkeypatch.setenv("CIFAR_TRICKS_NODE", str(disk))
        made, files = order(Study(load_params(), "cifar_tricks.commands.record", "cpu"))
        filler = fill(disk, leave=300_000)
        with pytest.raises(OSError, match="No space left on device"):
            node.work(made, lambda name: files[name])
        # What it has written of it is not taken for whole.
        filler.unlink()
        monkeypatch.setattr(node, "_train", lambda folder, order: (2, str(folder)))
        folder = Path(node.work(made, lambda name: files[name]).last)
        assert {name: hash_file(folder / name) for name in made.data} == made.data


def test_a_node_tells_what_it_trains(tmp_path: Path) -> None:
    (tmp_path / "resume").mkdir()
    with sole_writer(tmp_path / "resume/model2-adam-seed=0-0123456789abcdef") as folder:
        assert node_store.running(tmp_path) == ["model2-adam seed=0"]
        (folder / "history.csv").write_text("step,epoch,split\n40,1.25,train\n48,1.5,validation\n")
        # One that was killed left its file.
        dead = tmp_path / "resume/.locks/model1-adam-seed=0-0123456789abcdef.pid"
        dead.write_text(f"{2**22 + 1}\n{tmp_path}")
        assert node_store.running(tmp_path) == ["model2-adam seed=0 epoch 1.5"]
    assert node_store.running(tmp_path) == []


def test_the_driver_keeps_what_is_whole(
    workplace: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A record twice, damaged weights and data that have changed: nothing else is written."""
    monkeypatch.setenv("CIFAR_TRICKS_NODE", str(tmp_path / "node"))
    params = load_params()
    study = Study(params, "cifar_tricks.commands.record", "cpu", frozenset({"weights"}))
    made, files = order(study)
    answer = node.work(made, lambda name: files[name])
    came = Trained(JOB.key, 0, answer.records[0], answer.where, answer.weights[0])
    assert came.weights and missing(study, [JOB]) == [JOB]
    damaged = bytearray(came.weights)
    damaged[-1] ^= 1
    cases = (
        (None, "its weights are gone"),
        (bytes(damaged), "it arrived so"),
        (b"", "it arrived so"),
    )
    for weights, reason in cases:
        assert keep(study, came._replace(weights=weights)).endswith(reason)
        assert missing(study, [JOB]) == [JOB]
    assert [keep(study, came), keep(study, came)] == ["", ""]
    assert missing(study, [JOB]) == [] and not Path("records").exists()
    train_variant(params, JOB.key)
    assert "already trained, kept" in capfd.readouterr().out
    run = read_run("quick", JOB.key)
    assert not run.seeds[0].origin.recorded and not Path("resume", JOB.key).exists()
    assert Path("runs/quick", JOB.key, "seed=0/model.safetensors").read_bytes() == came.weights
    # Other data for the same code have a workspace of their own on the node.
    write_arrays("data/dataset/train.safetensors", make_images(300, seed=5).arrays)
    assert keep(study, came).startswith("data.train = ")
    made, files = order(study)
    answer = node.work(made, lambda name: files[name])
    assert objection(study, JOB.key, 0, answer.records[0]) == ""
