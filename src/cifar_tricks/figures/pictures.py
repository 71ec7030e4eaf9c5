"""The activation pictures of a study: which nets, layers and images they show."""

from __future__ import annotations

from pathlib import Path

import torch

from cifar_tricks.activation_figures import plan_pictures
from cifar_tricks.arrays import read_arrays
from cifar_tricks.backbones import BACKBONES, used_backbone, weights_file
from cifar_tricks.data import Normalisation
from cifar_tricks.figure_style import save_figure
from cifar_tricks.files import write_atomically
from cifar_tricks.machine import prepare
from cifar_tricks.models import ConvNet, load_weights
from cifar_tricks.photo_asset import PHOTO_FILE, describe_photo
from cifar_tricks.results import Result, Study
from cifar_tricks.runs import WEIGHTS, seed_folder, seeds_with_weights, to_json
from cifar_tricks.schema import Params
from cifar_tricks.viewing import ImageNetView, make_views
from cifar_tricks.views import Examples

CPU = torch.device("cpu")


def write_pictures(study: Study, folder: Path) -> None:
    """Draws what the first and last convolutions see, and where the best net looks.

    Args:
        study: all results.
        folder: of the report, with ``examples.safetensors``; the pictures go to its ``figures``,
            and what the text says of them to ``activations.json``.

    Raises:
        UserError: a layer, filter or photo that there is not, or a damaged file.
    """
    prepare(CPU, threads=1)
    best = study.best
    shown = {
        result.key: result for result in (study.results.get("model1-baseline"), best) if result
    }
    nets = {
        key: _own_net(result, seeds[0])
        for key, result in shown.items()
        if result.run and (seeds := seeds_with_weights(result.run))
    }
    examples = Examples.from_arrays(read_arrays(folder / "examples.safetensors").arrays)
    views = make_views(_imagenet(study.params), nets, examples, best.key if best else None)
    for name, picture in plan_pictures(views).items():
        # Photos in all their colours.
        save_figure(folder / "figures" / f"{name}.png", *picture, palette=False)
    write_atomically(folder / "activations.json", to_json(views.facts()))


def _imagenet(params: Params) -> ImageNetView | None:
    """The backbone as ImageNet left it, and the photo; None where none could be had."""
    backbone = used_backbone()
    if backbone is None or backbone not in params.visualize.layers:
        return None
    net = BACKBONES[backbone].net().eval()
    weights = read_arrays(weights_file(backbone)).arrays
    net.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    photo = Path(params.visualize.image)
    return ImageNetView(
        net=net,
        backbone=backbone,
        layers=params.visualize.layers[backbone],
        photo=photo,
        description=describe_photo() if photo == PHOTO_FILE else photo.name,
    )


def _own_net(result: Result, seed: int) -> tuple[ConvNet, Normalisation]:
    """The net of a seed, in evaluation mode."""
    assert result.run is not None
    path = seed_folder(result.run.scale, result.key, seed) / WEIGHTS
    arrays = read_arrays(path).arrays
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    net = load_weights(result.variant.recipe.net, weights, CPU)
    assert isinstance(net, ConvNet)
    outcome = result.run.seeds[seed]
    return net, Normalisation(mean=outcome.mean, std=outcome.std)
