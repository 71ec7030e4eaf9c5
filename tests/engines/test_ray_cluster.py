"""Trainings on a real Ray cluster: two nodes on addresses of this machine, with a token."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from helpers.cluster import daemon, end_tree, free_port, wait_until
from helpers.cluster_study import KEYS, ClusterStudy, begun, local_records, states, trainings
from helpers.dvc_repository import Repository
from helpers.project import ROOT
from helpers.tiny_params import PIPELINE

from cifar_tricks.commands.reproduce_check import output_hashes
from cifar_tricks.runs.seed import finished_result

pytestmark = pytest.mark.cluster
HEAD, OTHER = "127.0.0.2", "127.0.0.3"
# Six trainings: the reference, two nets with and without a trick, transfer learning.
FEWER = re.sub(r"(\n(?:improve|combine|sensitivity):)\n  .*", r"\1 {}", PIPELINE)
FEWER = re.sub(r"\n  leaky_relu: .*", "", FEWER)


OLDER = """
import sys, ray
from cifar_tricks.__main__ import run
ray.__version__ = "2.50.0"
sys.exit(run(sys.argv[1:]))
"""


class RayCluster:
    """Two nodes of one core; each keeps what it was sent in a folder of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        pytest.importorskip("ray", reason="make setup-dev EXTRAS=ray brings it")
        self.folder, self.stack = folder, stack
        (folder / "token").write_text(secrets.token_hex(32))
        (folder / "token").chmod(0o600)
        self.settings = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        }
        try:
            self.port = free_port(OTHER) and free_port(HEAD)
        except OSError:
            pytest.skip(f"this machine has no {OTHER}")
        self.address = f"{HEAD}:{self.port}"
        options = ["--head", f"--port={self.port}", f"--dashboard-host={HEAD}"]
        options += ["--include-dashboard=false", f"--temp-dir={folder}/ray"]
        self._start(HEAD, options)
        self.node = self.start_node()

    def start_node(self) -> psutil.Popen:
        return self._start(OTHER, [f"--address={self.address}"])

    def _start(self, host: str, options: list[str]) -> psutil.Popen:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options]
        command += [f"--node-ip-address={host}", "--num-cpus=1", "--num-gpus=0"]
        command += ["--object-store-memory=100000000", "--disable-usage-stats"]
        log = self.folder / f"{host}.log"
        log.unlink(missing_ok=True)
        environment = os.environ | self.settings | {"CIFAR_TRICKS_NODE": str(self.folder / host)}
        node = self.stack.enter_context(daemon(command, log, env=environment))
        wait_until(lambda: "runtime started" in log.read_text(), f"node on {host}")
        return node


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    # Not pytest's folder: the path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        with ExitStack() as stack:
            yield RayCluster(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def study(tmp_path: Path, cluster: RayCluster) -> ClusterStudy:
    return ClusterStudy(tmp_path / "study", cluster.settings)


def test_a_node_is_killed_and_then_the_driver(
    cluster: RayCluster, study: ClusterStudy, tmp_path: Path
) -> None:
    head, other = cluster.folder / HEAD, cluster.folder / OTHER
    arguments = ("--engine", "ray", "--engine-address", cluster.address, *KEYS)
    with study.share(*arguments) as driver:
        wait_until(lambda: begun(other), "a training on the second node")
        end_tree(cluster.node, signal.SIGKILL)
        first = [str(driver.stdout.readline()) for _ in range(2)]
        assert any("is tried again" in line for line in first), first
        wait_until(lambda: begun(head), "a training on the first node")
        driver.kill()
        wait_until(lambda: not trainings(cluster.folder / HEAD), "end of the trainings", seconds=10)
    assert states(head)
    kept = len([*head.glob("records/*/*/*.json")])
    cluster.node = cluster.start_node()
    told = study.told(*arguments)
    assert "4 of 4 are on record" in told and kept < 4
    assert study.records() == local_records(tmp_path / "local")
    # What nodes have finished is fetched, not trained again; with its weights, where asked for.
    assert not (study.folder / "resume").exists()
    records = study.records()
    shutil.rmtree(study.folder / "records/quick" / KEYS[0])
    assert study.told("--weights", *arguments).count(", earlier") == 4
    assert study.records() == records
    for content in records.values():
        ((seed, result),) = content["run"]["seeds"].items()
        (folder,) = study.folder.glob(f"resume/{content['run']['key']}-seed={seed}-*")
        found = finished_result(folder)  # which compares the files with their hashes
        assert found is not None and not found.origin.recorded
        assert found.weights_sha256 == result["weights_sha256"]


def test_an_interrupted_driver_saves_the_states(cluster: RayCluster, study: ClusterStudy) -> None:
    head, other = cluster.folder / HEAD, cluster.folder / OTHER
    key, arguments = "model2-adam", ("--engine", "ray", "--engine-address", cluster.address)
    with study.share(*arguments, key) as driver:
        wait_until(lambda: begun(head, key) or begun(other, key), "a training")
        driver.send_signal(signal.SIGINT)
        output = str(driver.communicate(timeout=20)[0])
    assert driver.returncode == 130 and "the next make share goes on from here" in output
    wait_until(lambda: not trainings(cluster.folder / HEAD), "end of the trainings", seconds=10)
    assert states(head, key) or states(other, key)


def test_the_whole_study_is_that_of_a_local_run(cluster: RayCluster, tmp_path: Path) -> None:
    local = Repository(tmp_path / "local", FEWER)
    nodes = Repository.at(tmp_path / "nodes")
    shutil.copytree(local.folder, nodes.folder, symlinks=True)
    repro = (sys.executable, "-m", "cifar_tricks", "repro")
    local.run(*repro, environment={"PYTHONPATH": "src"})
    options = ("--engine", "ray", "--engine-address", cluster.address)
    settings = {"PYTHONPATH": "src", **cluster.settings}
    told = nodes.run(*repro, *options, environment=settings)
    # DVC's stages publish what has come, and train nothing.
    assert len({*re.findall(r"(\S+): already trained, kept", told)}) == 6
    assert "6 of 6: " in told and "seed 0: step" not in told
    hashes = output_hashes(nodes.folder)
    assert hashes == output_hashes(local.folder)
    assert "reports/quick/champion/model.safetensors" in hashes
    assert not (nodes.folder / "records").exists()


def test_the_simulation_foretells_a_run(cluster: RayCluster, study: ClusterStudy) -> None:
    def told(*arguments: str) -> str:
        command = [sys.executable, str(ROOT / "benchmarks/cluster_scale.py")]
        environment = os.environ | {"PYTHONPATH": "src"} | cluster.settings
        done = subprocess.run(
            [*command, "--address", cluster.address, *arguments],
            cwd=study.folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[-1]

    key = "model1-dropout"
    found = re.fullmatch(r"measured: (\S+) s, simulated: (\S+) s", told("--run", key, KEYS[1]))
    assert found and float(found[1]) == pytest.approx(float(found[2]), rel=0.4)
    cost = told("--record", f"records/quick/{key}/seed=0.json", "--count", "1000")
    assert 0 < float(cost.split(" ms a task")[0]) < 100


def test_mistakes_are_one_line(cluster: RayCluster, study: ClusterStudy, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text(secrets.token_hex(32))
    address = ["--engine", "ray", "--engine-address", cluster.address]
    for arguments, settings, message in (
        (address, {"RAY_AUTH_MODE": ""}, "RAY_AUTH_MODE is not token: "),
        (address, {"RAY_AUTH_TOKEN_PATH": str(wrong)}, f"ENGINE_ADDRESS = {cluster.address}: "),
        ([*address, "--insecure"], {"RAY_AUTH_MODE": ""}, f"ENGINE_ADDRESS = {cluster.address}: "),
        ([*address, "--gpus", "1"], {}, "GPUS = 1: params.yaml: device = cpu; valid there: auto"),
        ([*address[:3], f"{HEAD}:1"], {}, f"ENGINE_ADDRESS = {HEAD}:1: "),
        ([*address[:3], "head"], {}, "ENGINE_ADDRESS = head: valid: host:port"),
    ):
        told = study.told(*arguments, KEYS[0], code=2, **settings)
        assert told.startswith(f"error: {message}") and told.count("\n") == 1, told
    params = study.folder / "params.yaml"
    params.write_text(params.read_text().replace("device: cpu", "device: auto"))
    told = study.told(*address, "--gpus", "1", KEYS[0], code=2)
    assert told == "error: a training needs 1 GPU; no node of Ray has more than 0\n"
    assert told == "error: a training needs 1 GPU; no node of Ray has more than 0\n"
    # A driver whose Ray says that it is another version.
    done = subprocess.run(
        [sys.executable, "-c", OLDER, "share", *address],
        cwd=study.folder,
        env=os.environ | {"PYTHONPATH": "src"} | cluster.settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"{cluster.address}: RuntimeError: Version mismatch: " in done.stderr
