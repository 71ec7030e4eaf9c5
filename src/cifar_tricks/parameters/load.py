"""params.yaml, read and checked: the only place where YAML is read.

:func:`load_params` refuses a file with any mistake, in one line and before any work;
:mod:`cifar_tricks.parameters.variants` turns a checked file into the recipes of all training runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.mistakes import explain, printable
from cifar_tricks.parameters.ablation import lists_of_tricks
from cifar_tricks.parameters.rules import check_factorial, check_images, check_names, is_usable
from cifar_tricks.parameters.schema import Params
from cifar_tricks.parameters.stacks import check_list
from cifar_tricks.parameters.variants import variants

LARGEST_FILE = 200_000  # bytes; more would take longer to read than a mistake may take to tell
MOST_VALUES = 20_000


def load_params(path: Path | str = "params.yaml") -> Params:
    """Reads and checks the parameters, for every scale that can be used here and every variant.

    Args:
        path: the YAML file (YAML 1.2).

    Raises:
        UserError: the first mistake: its key, the value and what is valid.
    """
    path = Path(path)
    content = _read(path)
    try:
        params = Params.model_validate(content)
        check_names(params)
        usable = [scale for scale in params.scales if is_usable(params, scale)]
        for scale in usable:
            check_images(params, scale)
            variants(params, scale, ablation=True)
        _check_lists(params, usable)
        check_factorial(params)
    except ValidationError as error:
        raise UserError(f"{path}: {printable(explain(error))}") from error
    except ValueError as error:
        raise UserError(f"{path}: {printable(str(error))}") from error
    return params


def _check_lists(params: Params, scales: Sequence[str]) -> None:
    """Whether each trick of each list changes anything. A list that scales share is looked at once:
    that takes longer than all other checks together, and every process begins with them."""
    seen = set()
    for scale in scales:
        for stack, where in lists_of_tricks(params, scale):
            if (key := json.dumps([stack.model, stack.tricks])) not in seen:
                check_list(params, scale, stack, where=where)
            seen.add(key)


def _read(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file")
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: {path.stat().st_size} bytes; at most {LARGEST_FILE} are read")
        content = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UserError:
        raise
    except Exception as error:
        # Not only its grammar: bytes that are no UTF-8, a number of 5,000 digits, 10,000 brackets,
        # and its tags raise whatever comes of them, KeyError and IndexError among others.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not valid YAML: {reason[:300]}") from error
    if _is_huge(content):
        raise UserError(f"{path}: more than {MOST_VALUES} values, counting what aliases repeat")
    return content


def _is_huge(content: Any) -> bool:
    """Whether it holds more than MOST_VALUES values; a few aliases can stand for millions."""
    left, count = [content], 0
    while left and count <= MOST_VALUES:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
    return count > MOST_VALUES
