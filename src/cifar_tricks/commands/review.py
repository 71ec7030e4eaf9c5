"""``make review``: checks the records that a change adds, and trains one of them again.

    python -m cifar_tricks review --base origin/main --train

Its result is Markdown, for the comment on a pull request. A record's hash finds accidents only:
whoever sends one can invent its numbers, so one that nobody could foresee is trained here.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import NOT_WRITTEN_BY_US
from cifar_tricks.commands.processes import fetch_data, running_alone
from cifar_tricks.commands.retrain import largest_difference, train_again
from cifar_tricks.commands.scheduling import seconds
from cifar_tricks.evaluation.score import Score, from_answers
from cifar_tricks.evaluation.test_images import test_labels
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.variants import Variant, planned_variants
from cifar_tricks.report.markdown import bold, code, table
from cifar_tricks.runs.plan import plan
from cifar_tricks.runs.records import Record, difference, read_record

RECORDS = Path("records")
MOST_BYTES = 1_000_000  # fifty times what a record has


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """A record that is what it should be.

    Args:
        path: the file.
        record: its content.
        variant: what it is of, as params.yaml plans it.
        score: its answers, checked against the test images.
    """

    path: Path
    record: Record
    variant: Variant
    score: Score


def review(base: str, train: bool, to: Path | None) -> int:
    """Tells of each record that differs from ``base`` what it is.

    Args:
        base: a commit.
        train: whether to train one of them again: at random, of the variant that takes least.
        to: the file that the result goes to; None prints it.

    Returns:
        The exit code: 1 where one is refused, or its training came to something else.

    Raises:
        UserError: no such commit, or a mistake in params.yaml.
        Interrupted: a signal came while it trained.
    """
    paths = changed_records(base)
    params = load_params()
    with running_alone("make review") as commands:
        if failed := fetch_data(commands, params):
            return failed
    rows: list[Sequence[str]] = []
    good: list[Reviewed] = []
    for path in paths:
        try:
            good.append(check(params, path))
            rows.append([code(path), *_facts(good[-1]), "as planned"])
        except FileNotFoundError:
            rows.append([code(path), "", "", "", bold("deleted")])
        except UserError as error:
            rows.append([code(path), "", "", "", f"refused: {error}"])
    lines = [f"{len(paths)} records differ from {code(base)}, {len(good)} of them as planned.\n"]
    if rows:
        lines.append(table(["record", "test accuracy", "trained on", "PyTorch", ""], rows, "lrlll"))
    agrees = len(good) == len(paths)
    if train and good:
        least = min(seconds(one.variant) for one in good)
        one = secrets.choice([one for one in good if seconds(one.variant) == least])
        known = {*one.path.parent.glob("*.json")} - {*paths}
        agrees &= _train_again(params, one, known=known, to=lines)
    text = "\n".join(lines) + "\n"
    if to is None:
        print(text, end="")
    else:
        write_atomically(to, text.encode())
    return 0 if agrees else 1


def changed_records(base: str) -> list[Path]:
    """The files under ``records/`` that differ from a commit, those that git does not know yet
    among them.

    Raises:
        UserError: git fails, as where there is no such commit.
    """
    commands = (
        ["diff", "--name-only", "--no-renames", "-z", "--end-of-options", base, "--", RECORDS],
        ["ls-files", "--others", "-z", "--", RECORDS],
    )
    names: set[str] = set()
    for command in commands:
        done = subprocess.run(["git", *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"git: {' '.join(done.stderr.split()) or 'failed'}")
        names |= {name for name in done.stdout.split("\0") if name}
    return [Path(name) for name in sorted(names)]


def check(params: Params, path: Path) -> Reviewed:
    """A record of what params.yaml plans at its scale, whose answers fit the test images.

    Args:
        params: the checked parameters; of any scale.
        path: ``records/<scale>/<key>/seed=<n>.json``.

    Raises:
        UserError: it is not.
        FileNotFoundError: it is not there.
    """
    if path.is_symlink() or (path.exists() and path.stat().st_size > MOST_BYTES):
        raise UserError("it is no file of a record's size")
    if len(path.parts) != 4 or path.suffix != ".json":
        raise UserError("it is no record")
    record = read_record(path)
    run, scale = record.run, path.parts[1]
    if scale not in params.scales:
        raise UserError(f"params.yaml has no scale {scale}")
    if run.key not in planned_variants(params, scale, ablation=True):
        raise UserError(f"params.yaml has no variant {run.key}")
    if record.seed not in params.scales[scale].seeds:
        raise UserError(f"scale {scale} does not plan seed {record.seed}")
    training = plan(params, run.key, scale)
    if differing := difference(record, training):
        raise UserError(f"not what params.yaml plans: {differing}")
    labels = test_labels(training.test_images)
    try:
        score = from_answers(
            record.answers,
            key=run.key,
            seed=record.seed,
            labels=labels,
            num_classes=training.variant.recipe.net.num_classes,
        )
    except NOT_WRITTEN_BY_US as error:
        raise UserError(f"it contradicts the test images: {error}") from error
    return Reviewed(path=path, record=record, variant=training.variant, score=score)


def _facts(one: Reviewed) -> list[str]:
    origin = one.record.result.origin
    return [f"{one.score.accuracy:.4f}", f"{origin.device} ({origin.device_name})", origin.torch]


def _train_again(params: Params, one: Reviewed, *, known: Collection[Path], to: list[str]) -> bool:
    """Trains a record's seed again and tells both results.

    Args:
        params: the checked parameters; of any scale.
        one: the record.
        known: records of other seeds, which are not under review.
        to: the lines so far.

    Returns:
        Whether the results agree.
    """
    # Planned anew: a training holds all images, and not many fit into memory.
    training = plan(params, one.variant.key, one.record.run.scale)
    again, weights = train_again(training, one.record.seed, graphs=params.gpu.graphs)
    limit = largest_difference([_accuracy(read_record(path)) for path in known])
    change = again.accuracy - one.score.accuracy
    same = weights == one.record.result.weights_sha256
    agrees = same or abs(change) <= limit
    verdict = "the same weights" if same else "agrees" if agrees else bold("differs")
    row = [f"{one.score.accuracy:.4f}", f"{again.accuracy:.4f}", f"{change:+.4f}"]
    row += [f"{limit:.4f}", verdict]
    to.append(f"\nTrained again, chosen at random among those that take least: {code(one.path)}\n")
    to.append(table(["on record", "here", "difference", "it may differ by", ""], [row], "rrrrl"))
    return agrees


def _accuracy(record: Record) -> float:
    return float(sum(record.answers["calibration"]["right"]) / record.answers["images"])
