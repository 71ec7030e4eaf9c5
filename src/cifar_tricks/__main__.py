"""The one door: ``python -m cifar_tricks COMMAND``; the Makefile only calls it.

Nothing is imported before its command is known: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from cifar_tricks.base.errors import UserError, exit_code
from cifar_tricks.base.surroundings import check_owner, settle
from cifar_tricks.base.wording import choose_from
from cifar_tricks.commands.setup import use_own_interpreter

Option = tuple[str, dict[str, Any]]

# Where PyTorch publishes its builds without CUDA.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
JOBS: Option = ("--jobs", {"default": "auto", "help": "trainings at once; auto: as many as pay"})
ENGINE: list[Option] = [
    ("--engine", {"default": "local", "help": "local, ray or slurm: where trainings run"}),
    ("--engine-address", {"default": "", "help": "host:port of Ray's head node"}),
    ("--gpus", {"default": "", "help": "for each training; Ray: also a part, as 0.25"}),
    ("--sbatch", {"default": "", "help": "options for Slurm: --sbatch='--partition=...'"}),
    ("--insecure", {"action": "store_true", "help": "take a Ray cluster without tokens"}),
]
# By name: what it does in one line, the function that does it, and that one's arguments.
COMMANDS: dict[str, tuple[str, str, list[Option]]] = {
    "setup": (
        "make or renew the environment in .venv",
        "commands.setup.set_up",
        [
            ("--dev", {"action": "store_true", "help": "with what tests and linting need"}),
            ("--extras", {"default": "", "help": "optional parts: postgres, ray, s3"}),
            ("--torch", {"default": "", "help": "cpu: without CUDA; lock: as the lock pins it"}),
            ("--torch-index", {"default": CPU_INDEX, "help": "where builds without CUDA are"}),
        ],
    ),
    "repro": (
        "the whole study: data, trainings, report",
        "commands.repro.reproduce",
        [JOBS, *ENGINE],
    ),
    "share": (
        "train one's part of the study and put it on record",
        "commands.share.train_and_record",
        [
            JOBS,
            ("--seeds", {"default": "all", "help": "for example 0-2 or 1,4; default: all"}),
            *ENGINE,
            ("--weights", {"action": "store_true", "help": "bring them from other machines too"}),
            ("--dry-run", {"action": "store_true", "help": "print Slurm's script, do nothing"}),
            ("keys", {"nargs": "*", "metavar": "KEY", "help": "variants; default: all"}),
        ],
    ),
    "page": (
        "the report of what is trained or on record so far; trains nothing",
        "commands.page.make_page",
        [],
    ),
    "verify": (
        "compare every byte that is kept with its hash",
        "commands.verify.report_damage",
        [("--repair", {"action": "store_true", "help": "make good what can be made good"})],
    ),
    "reproduce-check": (
        "two fresh clones, the quick study in each: are all bytes the same?",
        "commands.reproduce_check.compare_clones",
        [("--keep", {"type": Path, "help": "make the clones in this new folder and keep it"})],
    ),
    "ui": (
        "compare the runs in MLflow, on 127.0.0.1",
        "commands.ui.show_runs",
        [
            ("--port", {"default": "", "help": "default: the first free one from 5000"}),
            ("--hosts", {"default": "", "help": "names of a proxy that shows the pages"}),
        ],
    ),
    "predict": (
        "what the best net takes a photo for",
        "commands.predict.print_classes",
        [
            ("image", {"nargs": "?", "default": "", "help": "a photo"}),
            ("--scale", {"default": "", "help": "of the study; default: that of params.yaml"}),
        ],
    ),
    "judge": (
        "any table of runs: which variants differ from a baseline, and how sure that is",
        "judge.command.judge",
        [
            ("table", {"nargs": "?", "default": "", "help": "a CSV file; -: standard input"}),
            ("--baseline", {"default": "baseline", "help": "a variant; default: baseline"}),
            ("--variant", {"default": "", "metavar": "COLUMN", "help": "with the variants' names"}),
            ("--seed", {"default": "", "metavar": "COLUMN", "help": "equal seeds are pairs"}),
            ("--value", {"default": "", "metavar": "COLUMN", "help": "what is compared"}),
            ("--within", {"default": "", "metavar": "COLUMN", "help": "as net: a baseline each"}),
            (
                "--where",
                {
                    "action": "append",
                    "default": [],
                    "metavar": "COLUMN=VALUE",
                    "help": "only such rows; may be repeated",
                },
            ),
            ("--lower-is-better", {"action": "store_true", "help": "as of a loss"}),
            ("--margin", {"default": "", "help": "what counts as no difference, e.g. 0.01"}),
            ("--mlflow", {"default": "", "metavar": "EXPERIMENT", "help": "in place of a file"}),
            ("--tracking-uri", {"default": "", "metavar": "URI", "help": "where MLflow is"}),
            ("--html", {"default": "", "metavar": "FILE", "help": "a page with the chart"}),
            ("--csv", {"default": "", "metavar": "FILE", "help": "all digits"}),
            ("--latex", {"default": "", "metavar": "FILE", "help": "a table for booktabs"}),
        ],
    ),
    "review": (
        "check the records that a change adds, train one of them again",
        "commands.review.review",
        [
            ("--base", {"default": "origin/main", "help": "a commit; default: origin/main"}),
            ("--train", {"action": "store_true", "help": "train one again, chosen at random"}),
            ("--to", {"type": Path, "help": "the file for the result; default: it is printed"}),
        ],
    ),
    "doctor": (
        "what this machine has and lacks for the study",
        "doctor.examine",
        [],
    ),
    "readme": (
        "write the README's tables of results from the committed reports",
        "commands.readme.write_tables",
        [],
    ),
}
# What must work by any interpreter, and where git refuses the folder.
EVERYWHERE = ("setup", "doctor")
# What needs no repository.
ANYWHERE = (*EVERYWHERE, "judge")


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} -h lists what is valid")


def run(argv: Sequence[str]) -> int:
    """Runs one command.

    Args:
        argv: its name and its options.

    Returns:
        The exit code: 2 for a mistake, which is told in one line.
    """
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str]) -> int:
    lines = [f"    {name:<18}{summary}" for name, (summary, _, _) in COMMANDS.items()]
    parser = Parser(prog="python -m cifar_tricks", epilog="\n".join(["commands:", *lines]))
    commands = parser.add_subparsers(
        metavar="COMMAND", dest="command", help="COMMAND -h lists its options"
    )
    for name, (summary, _, options) in COMMANDS.items():
        command = commands.add_parser(name, description=summary)
        for option, settings in options:
            command.add_argument(option, **settings)
    if argv and argv[0] not in {*COMMANDS, "-h", "--help"}:
        raise UserError(f"{argv[0]}: no such command; {choose_from(argv[0], COMMANDS)}")
    given, unknown = parser.parse_known_args(argv)
    if given.command is None:
        parser.print_help()
        return 0
    if unknown:
        raise UserError(_unknown(unknown[0], given.command))
    if given.command not in ANYWHERE:
        check_owner(Path.cwd())
    values = vars(given)
    module, _, function = COMMANDS[values.pop("command")][1].rpartition(".")
    code: int = getattr(import_module(f"cifar_tricks.{module}"), function)(**values)
    return code


def _unknown(argument: str, command: str) -> str:
    if not argument.startswith("-"):
        return f"{argument}: one argument too many for {command}"
    valid = [option for option, _ in COMMANDS[command][2] if option.startswith("-")]
    name = argument.partition("=")[0]
    return f"{argument}: no such option of {command}; {choose_from(name, [*valid, '--help'])}"


def main() -> NoReturn:
    """What the shell calls: the command, by the project's own interpreter."""
    if sys.argv[1:2] not in [[name] for name in EVERYWHERE]:
        use_own_interpreter()
    sys.exit(exit_code(settle) or run(sys.argv[1:]))


if __name__ == "__main__":
    main()
