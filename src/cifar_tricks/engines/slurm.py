"""Trainings as job arrays of Slurm, in a folder that its nodes share.

No package is needed: ``sbatch`` and ``squeue`` do it. A line of a list is an element of an array.
What they train is a copy of the code under ``.dvc/tmp/slurm``, so that this checkout may change
while they wait; records go from there through the driver's check to their place.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.engines import node_store
from cifar_tricks.engines.jobs import Job, Outcome, Processes
from cifar_tricks.engines.study import Study

FOLDER = Path(".dvc/tmp/slurm")
# Slurm's own default of MaxArraySize, where it does not tell.
ARRAY_SIZE = 1001
GPU_OPTION = re.compile(r"--(gres|gpus|gpus-per-task|gpus-per-node|tres-per-task)\b|^-G")
SCRIPT = """\
#!/bin/sh
set -- $(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {tasks})
cd {folder} || exit
export PYTHONPATH={folder}/src PYTHONUNBUFFERED=1{hidden}
exec {python} -m {module} "$@"
"""

# An element of an array: the stamp of its list, and its index from 1.
Element = tuple[str, int]


class Slurm:
    """Arrays of one training each; Slurm tries again what a node took with it.

    Args:
        sbatch: the user's options.
        gpus: of each training, whole ones.
        dry_run: whether the script is only printed.

    Raises:
        UserError: no Slurm here, or an option that cannot be read.
    """

    remote = True

    def __init__(self, *, sbatch: str, gpus: float, dry_run: bool) -> None:
        try:
            self.options = shlex.split(sbatch)
        except ValueError as error:
            raise UserError(f"SBATCH = {sbatch}: {error}") from error
        if gpus:
            self.options.append(f"--gres=gpu:{gpus:.0f}")
        self.dry_run = dry_run
        self.gpu = any(GPU_OPTION.search(option) for option in self.options)
        # Of this checkout: another may use the same queue.
        self.name = f"cifar-tricks-{hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:8]}"
        if not dry_run:
            for program in ("sbatch", "squeue", "scancel"):
                if shutil.which(program) is None:
                    raise UserError(f"ENGINE = slurm: this machine has no {program}")

    def has_gpu(self, device: str) -> bool:
        """See :class:`cifar_tricks.engines.jobs.Engine`; GPUs are asked for by GPUS or SBATCH."""
        if self.gpu and device == "cpu":
            raise UserError("GPUS or SBATCH ask for a GPU: params.yaml: device = cpu; valid: auto")
        if device == "cuda" and not self.gpu:
            raise UserError("params.yaml: device = cuda: ask Slurm for a GPU: GPUS=1")
        return self.gpu

    def run(self, study: Study, jobs: Sequence[Job], processes: Processes) -> Iterator[Outcome]:
        """See :class:`cifar_tricks.engines.jobs.Engine`. Where the driver is killed the arrays go
        on, and the next call waits for them."""
        if self.dry_run:
            print(shlex.join(self._command(study, len(jobs), "STAMP")))
            print(self._script(study, FOLDER / "studies/HASH", "STAMP"), end="")
            return
        data = study.data(jobs)
        content, bundle = study.bundle(data)
        root = FOLDER.resolve()
        folder = node_store.make_workspace(root, bundle, lambda: content)
        for name, sha256 in data.items():
            get = Path(name).read_bytes
            node_store.put_data(root, folder, name, sha256, get)
        from cifar_tricks.engines.slurm_arrays import Arrays

        yield from Arrays(self, study, processes, folder).run(jobs)

    def submit(self, study: Study, folder: Path, jobs: Sequence[Job], stamp: str) -> str:
        """Queues jobs as one array; returns Slurm's objection, "" for none."""
        lines = "".join(f"{' '.join(study.command(job)[2:])}\n" for job in jobs)
        write_atomically(FOLDER / f"{stamp}.txt", lines.encode())
        done = subprocess.run(
            self._command(study, len(jobs), stamp),
            input=self._script(study, folder, stamp),
            capture_output=True,
            text=True,
        )
        return " ".join(done.stderr.split()) or "sbatch failed" if done.returncode else ""

    def _command(self, study: Study, count: int, stamp: str) -> list[str]:
        output = FOLDER.resolve() / f"{stamp}-%a.out"
        return [
            *("sbatch", "--parsable", f"--cpus-per-task={study.threads()}", *self.options),
            *(f"--job-name={self.name}-{stamp}", f"--array=1-{count}", "--requeue"),
            *("--open-mode=append", f"--output={output}"),
        ]

    def _script(self, study: Study, folder: Path, stamp: str) -> str:
        return SCRIPT.format(
            tasks=shlex.quote(str(FOLDER.resolve() / f"{stamp}.txt")),
            folder=shlex.quote(str(folder.resolve())),
            hidden="" if self.gpu else " CUDA_VISIBLE_DEVICES=",
            python=shlex.quote(sys.executable),
            module=study.module,
        )

    def queued(self) -> dict[Element, str] | None:
        """Elements of this checkout's arrays that have not ended, each with its node; None where
        Slurm does not answer."""
        command = ["squeue", "--me", "--noheader", "--array", "--format=%j|%K|%N"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return None
        rows = [line.strip().split("|") for line in done.stdout.splitlines()]
        start = f"{self.name}-"
        return {
            (name.removeprefix(start), int(index)): where
            for name, index, where in rows
            if name.startswith(start) and index.isdecimal()
        }


def array_size() -> int:
    """How many elements an array may have at this site."""
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, (int(found[1]) if found else ARRAY_SIZE) - 1)


def cancel(name: str) -> None:
    """Ends an array; its trainings save their states."""
    subprocess.run(["scancel", "--me", f"--name={name}"], capture_output=True)
