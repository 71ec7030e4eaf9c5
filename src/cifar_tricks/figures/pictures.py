"""The activation pictures of a study: which nets, layers and images they show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.files import write_atomically
from cifar_tricks.base.signed_json import to_json
from cifar_tricks.data.photo_source import PHOTO_FILE, describe_photo
from cifar_tricks.evidence.study_results import Result, StudyResults
from cifar_tricks.figures.activations import view_example, view_photo
from cifar_tricks.figures.draw_activations import plan_pictures
from cifar_tricks.figures.grad_cam import attribute
from cifar_tricks.figures.layers import convolutions
from cifar_tricks.figures.style import save_figure
from cifar_tricks.figures.views import Examples, Views
from cifar_tricks.parameters.protocol import is_cifar10
from cifar_tricks.parameters.schema import Params, ShownLayers
from cifar_tricks.runs.folders import WEIGHTS, seed_folder, seeds_with_weights
from cifar_tricks.training.backbones import BACKBONES, used_backbone, weights_file
from cifar_tricks.training.device import prepare
from cifar_tricks.training.nets import load_weights
from cifar_tricks.training.normalisation import Normalisation

CPU = torch.device("cpu")


def write_pictures(study: StudyResults, folder: Path) -> None:
    """Draws what the first and last convolutions see, and where the best net looks.

    A picture of a net whose weights are not here is kept where there is one of the same weights.

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
    runs = {key: result.run for key, result in shown.items() if result.run}
    seeds = {key: here[0] for key, run in runs.items() if (here := seeds_with_weights(run))}
    nets = {key: _own_net(shown[key], seed) for key, seed in seeds.items()}
    size = study.dataset.image_size
    for key in [key for key, (net, _) in nets.items() if not convolutions(net, size)]:
        print(f"{key}: no picture, since no convolution of its net sees the image", flush=True)
        del nets[key], seeds[key]
    arrays = read_arrays(folder / "examples.safetensors").arrays
    examples = Examples.from_arrays(arrays, study.dataset)
    views = make_views(_imagenet(study.params), nets, examples, best.key if best else None)
    for name, picture in plan_pictures(views).items():
        # Photos in all their colours.
        save_figure(folder / "figures" / f"{name}.png", *picture, palette=False)
    facts = views.facts({key: runs[key].seeds[seed].weights_sha256 for key, seed in seeds.items()})
    drawn, explained = _drawn(folder)
    for key in runs.keys() - nets.keys():
        if drawn.get(key) in {seed.weights_sha256 for seed in runs[key].seeds.values()}:
            facts["own_nets"][key] = drawn[key]
            if best and key == best.key == explained:
                facts["explained"] = key
    facts["own_nets"] = {key: facts["own_nets"][key] for key in shown if key in facts["own_nets"]}
    write_atomically(folder / "activations.json", to_json(facts))


def _drawn(folder: Path) -> tuple[dict[str, str], str | None]:
    """The nets of which there are pictures already, each with its weights' hash, and the net that
    is explained; none where there is no such file."""
    try:
        facts = json.loads((folder / "activations.json").read_bytes())
        return dict(facts["own_nets"]), facts["explained"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}, None


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
        description=describe_photo(of_original=is_cifar10(params))
        if photo == PHOTO_FILE
        else photo.name,
    )


def _own_net(result: Result, seed: int) -> tuple[nn.Module, Normalisation]:
    """The net of a seed, in evaluation mode."""
    assert result.run is not None
    path = seed_folder(result.run.scale, result.key, seed) / WEIGHTS
    arrays = read_arrays(path).arrays
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    net = load_weights(result.variant.recipe.net, weights, CPU)
    outcome = result.run.seeds[seed]
    return net, Normalisation(mean=outcome.mean, std=outcome.std)


@dataclass(frozen=True, kw_only=True)
class ImageNetView:
    """What is asked of an ImageNet net.

    Args:
        net: with its 1,000 classes and ImageNet's weights, in evaluation mode, on the CPU.
        backbone: its key in :data:`cifar_tricks.training.backbones.BACKBONES`.
        layers: which layers are shown.
        photo: the file.
        description: what the photo shows and where it comes from, in a few words.
    """

    net: nn.Module
    backbone: str
    layers: ShownLayers
    photo: Path | str
    description: str


def make_views(
    imagenet: ImageNetView | None,
    own: Mapping[str, tuple[nn.Module, Normalisation]],
    examples: Examples | None,
    best: str | None,
) -> Views:
    """Computes all that can be shown.

    Args:
        imagenet: None where no weights could be had.
        own: our nets with the normalisation of their runs, by key, in evaluation mode, on the CPU.
        examples: test images with the predictions of the net ``best``; None for none.
        best: key of the net that is explained; left out where ``own`` lacks it.

    Raises:
        UserError: the photo cannot be read, or the ImageNet net has no such layer.
    """
    photo = None
    if imagenet is not None:
        ask = imagenet
        photo = view_photo(ask.net, ask.backbone, ask.layers, ask.photo, ask.description)
    if examples is None or not len(examples):
        return Views(photo=photo)
    return Views(
        photo=photo,
        own={key: view_example(*own[key], key, examples) for key in own},
        attribution=attribute(*own[best], best, examples) if best and best in own else None,
    )
