"""Cores and memory under limits: made-up trees of both versions of cgroups, and real limits."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT

from cifar_tricks.base import resources
from cifar_tricks.commands.scheduling import num_jobs
from cifar_tricks.parameters.load import load_params

GB = 1024**3
V2 = "41 31 0:38 {top} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
V1_GROUPS = "9:name=systemd:/x\n4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n"


def system(root: Path, groups: str, mounts: str, **files: str) -> Path:
    """A file system with these limits; ``__`` in a name stands for a slash."""
    limits = {f"sys/fs/cgroup/{name.replace('__', '/')}": text for name, text in files.items()}
    contents = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **limits}
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text if text.endswith("\n") else text + "\n")
    return root


def test_the_least_limit_on_the_path_counts(tmp_path: Path) -> None:
    files = {
        "a__memory.max": str(3 * GB),
        "a__b__memory.max": "max",
        "a__b__c__memory.max": str(5 * GB),
        "a__cpu.max": "max 100000",
        "a__b__cpu.max": "50000 100000",
        "other__memory.max": "1",
        "other__cpu.max": "1000 100000",
    }
    root = system(tmp_path, "0::/a/b/c\n", V2.format(top="/"), **files)
    assert (resources.memory(root), resources.cores(root)) == (3 * GB, 0.5)


@pytest.mark.parametrize(
    ("top", "path"),
    [
        ("/", "/"),  # a namespace of its own
        ("/docker/12ab", "/docker/12ab"),  # the host's path, mounted from there on
        ("/docker/12ab", "/"),
        ("/../..", "/../../init"),
    ],
)
def test_the_group_of_a_container(tmp_path: Path, top: str, path: str) -> None:
    files = {"memory.max": str(2 * GB), "memory.high": str(GB), "cpu.max": "150000 100000"}
    two = system(tmp_path / "2", f"0::{path}\n", V2.format(top=top), **files)
    assert (resources.memory(two), resources.cores(two)) == (GB, min(1.5, resources.cores()))
    files = {
        "memory__memory.limit_in_bytes": str(2 * GB),
        "cpu,cpuacct__cpu.cfs_quota_us": "25000",
        "cpu,cpuacct__cpu.cfs_period_us": "50000",
    }
    one = system(tmp_path / "1", V1_GROUPS.format(path=path), V1.format(top=top), **files)
    assert (resources.memory(one), resources.cores(one)) == (2 * GB, 0.5)


def test_no_limit_is_that_of_the_machine(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    files = {
        "memory__memory.limit_in_bytes": "9223372036854771712",
        "cpu,cpuacct__cpu.cfs_quota_us": "-1",
        "cpu,cpuacct__cpu.cfs_period_us": "100000",
    }
    one = system(tmp_path / "1", V1_GROUPS.format(path="/"), V1.format(top="/"), **files)
    files = {"memory.max": "max", "cpu.max": "max 100000"}
    two = system(tmp_path / "2", "0::/gone\n", V2.format(top="/"), **files)
    for root in (one, two, tmp_path / "macOS has no such files"):
        assert (resources.memory(root), resources.cores(root)) == (machine, cores)


def test_a_gpu_that_this_process_may_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(resources, "version", {"torch": "2.9.0"}.__getitem__)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert not resources.has_gpu(tmp_path)
    wsl = tmp_path / "wsl"
    for file in (tmp_path / "dev/nvidia3", wsl / "dev/dxg", wsl / "usr/lib/wsl/lib/libcuda.so.1"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert resources.has_gpu(tmp_path) and resources.has_gpu(wsl)
    for hidden in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not resources.has_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert resources.has_gpu(tmp_path)
    monkeypatch.setattr(resources, "version", {"torch": "2.9.0+cpu"}.__getitem__)
    assert not resources.has_gpu(tmp_path)


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [(0.5, 64, 1), (7.9, 64, 7), (16, 7, 1), (16, 10, 2), (2, 0.5, 1)],
)
def test_as_many_jobs_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: float, memory: float, jobs: int
) -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.transfer.cache_gb == 6 and params.scales[params.scale].threads == 1
    monkeypatch.setattr(resources, "cores", lambda: cores)
    monkeypatch.setattr(resources, "memory", lambda: int(memory * GB))
    monkeypatch.setattr(resources, "has_gpu", lambda: False)
    assert num_jobs("auto", params) == jobs
    assert num_jobs("3", params) == 3  # what the user says counts


def test_real_limits_of_the_process() -> None:
    """The affinity and `ulimit -v`, set for a child."""
    script = "from cifar_tricks.base import resources; print(resources.cores(), resources.memory())"

    def limit() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        resource.setrlimit(resource.RLIMIT_AS, (2 * GB, 2 * GB))

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    cores, memory = done.stdout.split()
    assert float(cores) <= 1 and int(memory) == 2 * GB
