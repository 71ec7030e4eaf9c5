"""Trainings as job arrays of a real Slurm with two nodes on this machine."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.cluster import SlurmCluster, end_tree, wait_until
from helpers.cluster_study import KEYS, ClusterStudy, begun, local_records, states

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        yield SlurmCluster(Path(folder), stack)


@pytest.fixture
def study(tmp_path: Path, cluster: SlurmCluster) -> ClusterStudy:
    return ClusterStudy(tmp_path / "study", cluster.environment)


def test_arrays_with_a_requeue_a_killed_node_and_a_killed_driver(
    cluster: SlurmCluster, study: ClusterStudy, tmp_path: Path
) -> None:
    shared = study.folder / ".dvc/tmp/slurm"
    with study.share("--engine", "slurm", *KEYS) as driver:
        wait_until(lambda: len(begun(shared)) == 2, "two trainings")
        driver.kill()  # the array goes on
    running = cluster.output("squeue", "-h", "-r", "-t", "R", "-o", "%A").split()
    assert len(running) == 2
    cluster.output("scontrol", "requeue", running[0])
    end_tree(cluster.nodes["n2"], signal.SIGKILL)
    again = threading.Timer(5, cluster.start_node, ["n2"])
    again.start()
    told = study.told("--engine", "slurm", *KEYS)
    again.join()
    assert "are queued already" in told
    assert "4 of 4 are on record" in told
    assert study.records() == local_records(tmp_path / "local")
    assert cluster.output("squeue", "-h") == ""
    told = study.told("--engine", "slurm", *KEYS)
    assert "4 of 4 are on record" in told and "their weights stay on the nodes" in told
    assert not (study.folder / "resume").exists()
    study.told("--engine", "slurm", "--weights", *KEYS)
    assert len([*study.folder.glob("resume/*/model.safetensors")]) == 4
    assert not [*shared.glob("*.out")]


def test_an_interrupted_driver_saves_states_and_a_refusal_is_told(
    cluster: SlurmCluster, study: ClusterStudy
) -> None:
    shared = study.folder / ".dvc/tmp/slurm"
    with study.share("--engine", "slurm", KEYS[0]) as driver:
        wait_until(lambda: begun(shared), "a training")
        driver.send_signal(signal.SIGINT)
        output = str(driver.communicate(timeout=30)[0])
    assert driver.returncode == 130 and "the next make share goes on from here" in output
    assert states(shared) and cluster.output("squeue", "-h") == ""
    refused = study.told("--engine", "slurm", "--sbatch=--partition=none", KEYS[0], code=2)
    assert refused.startswith("error: sbatch: ") and "partition" in refused
    assert refused.count("\n") == 1
    params = study.folder / "params.yaml"
    params.write_text(params.read_text().replace("device: cpu", "device: auto"))
    refused = study.told("--engine", "slurm", "--gpus", "1", KEYS[0], code=2)
    assert refused.startswith("error: sbatch: ") and refused.count("\n") == 1


def test_a_dry_run_shows_the_script_and_does_nothing(study: ClusterStudy) -> None:
    options = "--sbatch=--partition=gpu --time=60"
    told = study.told("--engine", "slurm", "--dry-run", options, KEYS[0], SLURM_CONF="")
    assert "--requeue" in told and "--array=1-" in told and "--partition=gpu --time=60" in told
    assert "cifar_tricks.commands.record" in told and "on record" not in told
    assert not (study.folder / "records").exists()


def test_a_machine_without_slurm_is_told(study: ClusterStudy, tmp_path: Path) -> None:
    told = study.told("--engine", "slurm", code=2, PATH=str(tmp_path))
    assert told == "error: ENGINE = slurm: this machine has no sbatch\n"
