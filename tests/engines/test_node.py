"""What a node does without any engine, and what the driver says of its records."""

import dataclasses
import json
from pathlib import Path

import pytest
from helpers.workplace import edit, workplace  # noqa: F401 - a fixture

from cifar_tricks.base.signed_json import signed, to_json
from cifar_tricks.engines import node
from cifar_tricks.engines.arrivals import objection
from cifar_tricks.engines.jobs import Job
from cifar_tricks.engines.study import Study
from cifar_tricks.parameters.load import load_params

JOB = Job("model2-adam", [0])


def order(study: Study) -> tuple[node.Order, dict[str, bytes]]:
    """An order for a node, and the files that go with it."""
    content, bundle = study.bundle()
    data = study.data([JOB])
    made = node.Order(
        bundle=bundle, data=data, command=study.command(JOB), scale=study.params.scale,
        key=JOB.key, seeds=JOB.seeds, gpu=False,
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
    code, last, records, _ = node.work(made, lambda name: files[name])
    assert code == 0, last
    record = records[0]
    assert objection(study, JOB.key, 0, record) == ""
    assert node.held(tmp_path / "node", "quick", [(JOB.key, 0), ("model1-adam", 0)]) == (
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
    code, last, records, _ = node.work(made, lambda name: files[name])
    assert (code, records) == (2, {}) and last.startswith("error: params.yaml: device = cuda")
