"""Trains variants one after the other in this process, before DVC's stages publish them.

    python -m cifar_tricks.commands.train KEY [KEY ...]

``make repro`` calls it: a process for each training would spend seconds on its start, in which a
GPU would be idle.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from cifar_tricks.base.errors import exit_code
from cifar_tricks.parameters.load import load_params
from cifar_tricks.parameters.variants import planned_variants


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
