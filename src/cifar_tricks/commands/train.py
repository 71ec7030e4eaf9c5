"""Trains variants one after the other in this process, before DVC asks for them.

    python -m cifar_tricks.commands.train KEY [KEY ...]

``make repro`` calls it: a process for each training would spend seconds on its start, in which a
GPU would be idle. What came of it is then recorded all at once, as ``dvc commit`` does: DVC writes
all of dvc.lock, half a second, for each stage that it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from cifar_tricks.base.errors import UserError, exit_code

if TYPE_CHECKING:
    from dvc.repo import Repo

    from cifar_tricks.parameters.schema import Params
    from cifar_tricks.parameters.variants import Variant


def main(argv: Sequence[str]) -> int:
    """Trains variants; one that fails leaves the others alone, a signal ends all.

    Args:
        argv: their keys.

    Returns:
        The exit code of the first that failed.
    """
    return exit_code(lambda: _train(argv))


def _train(keys: Sequence[str]) -> int:
    # Here, for Ctrl-C may come while PyTorch is imported.
    from cifar_tricks.commands.record import done_or_told
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.variants import planned_variants
    from cifar_tricks.runs.train import train_ahead

    params, codes = load_params(), [0]
    known = planned_variants(params)
    for key in keys:
        # Of which DVC's cache may have seeds that no change touches.
        os.environ["DVC_STAGE"] = known[key].stage
        codes.append(done_or_told(key, partial(train_ahead, params, key)))
        if codes[-1] >= 128:
            return codes[-1]
    return next((code for code in codes if code), 0)


def changed_stages(names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The stages of dvc.yaml that are not up to date.

    ``dvc status`` names them too, but not which of them `dvc repro` would take from its run cache.

    Args:
        names: of stages whose dependencies are here.

    Yields:
        A name, and whether DVC has to run the stage: its cache does not hold what came of it.

    Raises:
        UserError: DVC refuses.
    """
    from dvc.stage.cache import RunCacheNotFoundError

    with _repository() as repo:
        # All at once: for each stage that is loaded by its name, DVC reads all of dvc.lock.
        known = {stage.addressing: stage for stage in repo.index.stages}
        for name in names:
            if not (stage := known[name]).changed():
                continue
            if stage.changed_stage() or stage.changed_deps():
                stage.save_deps()
                for output in stage.outs:
                    output.clear()  # what is known of it came of other dependencies
            try:
                repo.stage_cache.restore(stage, dry=True)
                yield name, False
            except RunCacheNotFoundError:
                yield name, True


def record_stages(
    params: Params, variants: Mapping[str, Variant], changed: Mapping[str, bool]
) -> None:
    """Lets DVC record what was trained ahead, and take from its run cache what that holds.

    Args:
        params: the checked parameters.
        variants: by the names of their stages.
        changed: see :func:`changed_stages`.

    Raises:
        UserError: DVC refuses.
    """
    from cifar_tricks.runs.ahead import forget_ahead, take_ahead

    done = []
    with _repository() as repo:
        known = {stage.addressing: stage for stage in repo.index.stages}
        for name, runs in changed.items():
            if not runs:
                known[name].reproduce()
            elif take_ahead(params, variants[name].key):
                known[name].save()
                known[name].commit()
            else:
                continue
            done.append(known[name])
        if done:
            done[0].dvcfile.dump_stages(done, update_pipeline=False)
    for stage in done:
        forget_ahead(params, variants[stage.addressing])
        how = "recorded" if changed[stage.addressing] else "taken from DVC's run cache"
        print(f"{stage.addressing}: {how}", flush=True)


@contextmanager
def _repository() -> Iterator[Repo]:
    """DVC's repository here, while no other of its processes writes to it."""
    # Slow to import.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo(_wait_for_lock=True) as repo, lock_repo(repo), repo.scm_context(quiet=True):
            yield repo
    except DvcException as error:
        raise UserError(f"DVC: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
