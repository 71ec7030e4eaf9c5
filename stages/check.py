"""Checks params.yaml before anything is downloaded or trained.

It writes what the other stages depend on: a valid change of a parameter reruns nothing through
``params.valid``, whose content never changes, and through the others only what it reaches.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from _run import run


def main(argv: list[str]) -> None:
    """Writes ``data/params.valid``, ``study.json``, ``source.json`` and ``recipes/<key>.json``."""
    from cifar_tricks.base.files import write_atomically
    from cifar_tricks.base.place import check_place
    from cifar_tricks.base.signed_json import to_json
    from cifar_tricks.data.photo import check_photo
    from cifar_tricks.datasets.catalogue import fingerprint
    from cifar_tricks.parameters.dependencies import recipes, study_parameters
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.protocol import dataset_spec
    from cifar_tricks.parameters.variants import variants

    params = load_params()
    check_place()
    for key, variant in variants(params).items():
        if reason := variant.left_out:
            print(f"{key} is left out: {reason}", flush=True)
    # The default is downloaded later.
    if params.visualize.image != type(params.visualize).model_fields["image"].default:
        check_photo(Path(params.visualize.image))
    source = {"dataset": (spec := dataset_spec(params)), "fingerprint": fingerprint(spec)}
    folder = Path("data")
    write_atomically(folder / "source.json", to_json(source))
    for key, content in recipes(params).items():
        write_atomically(folder / "recipes" / f"{key}.json", to_json(content))
    write_atomically(folder / "study.json", to_json(study_parameters(params)))
    write_atomically(folder / "params.valid", b"params.yaml is valid\n")


if __name__ == "__main__":
    run(main)
