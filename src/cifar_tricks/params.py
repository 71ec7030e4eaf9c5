"""params.yaml, read and checked: the only place where YAML is read.

:func:`load_params` refuses a file with any mistake, in one line and before any work;
:mod:`cifar_tricks.variants` turns a checked file into the recipes of all training runs.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cifar_tricks.checks import check_factorial, check_images, check_names
from cifar_tricks.errors import UserError
from cifar_tricks.schema import Params, explain
from cifar_tricks.variants import variants


def load_params(path: Path | str = "params.yaml") -> Params:
    """Reads and checks the parameters, for every scale and every variant.

    Args:
        path: the YAML file (YAML 1.2).

    Raises:
        UserError: the first mistake: its key, the value and what is valid.
    """
    path = Path(path)
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        # Not only grammar: bytes that are no UTF-8, a number of 5,000 digits, 10,000 brackets.
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        params = Params.model_validate(content)
        check_names(params)
        for scale in params.scales:
            check_images(params, scale)
            variants(params, scale)
        check_factorial(params)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    return params
