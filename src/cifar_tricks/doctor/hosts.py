"""Where the data would come from: which sources answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import project_root
from cifar_tricks.data.assets import Asset, Source
from cifar_tricks.data.backbone_weights import BACKBONE_ASSETS
from cifar_tricks.data.photo_source import PHOTO
from cifar_tricks.data.transport import Limits, SourceFailed
from cifar_tricks.datasets.catalogue import CIFAR10, NAMED
from cifar_tricks.datasets.importers import assets
from cifar_tricks.doctor.finding import FAIL, NOTE, OK, Finding

LIMITS = Limits(connect_seconds=4, answer_seconds=8, stall_seconds=8, retries=0, package_seconds=15)


def hosts() -> Iterator[Finding]:
    """A line for each thing that is needed; one of its sources is enough."""
    folder = project_root() / "data" / "downloads"
    dataset, backbones = _chosen()
    wanted: dict[str, Sequence[Asset]] = {}
    if dataset in NAMED:  # no folder of images
        wanted[NAMED[dataset].title] = assets(dataset)
    known = [name for name in backbones if name in BACKBONE_ASSETS]
    wanted |= {"photo": [PHOTO], "ImageNet": [BACKBONE_ASSETS[name] for name in known]}
    sources = [source for files in wanted.values() for one in files for source in one.sources]
    with ThreadPoolExecutor(len(sources)) as pool:
        reasons = dict(zip(sources, pool.map(_unreachable, sources), strict=True))
    for name, files in wanted.items():
        own = {source: reasons[source] for file in files for source in file.sources}
        yield _finding(name, own, here=any((folder / source.file_name).exists() for source in own))


def _chosen() -> tuple[str, tuple[str, ...]]:
    """The data set and the backbones that params.yaml names."""
    from cifar_tricks.parameters.load import load_params
    from cifar_tricks.parameters.protocol import dataset_spec

    try:
        params = load_params()
    except UserError:
        return CIFAR10.name, tuple(BACKBONE_ASSETS)
    return dataset_spec(params), tuple(params.transfer.backbones)


def _unreachable(source: Source) -> str:
    """Why a source does not answer, "" where it does."""
    try:
        source.via.ask(source.num_bytes, limits=LIMITS)
    except SourceFailed as failure:
        return str(failure)
    return ""


def _finding(name: str, reasons: dict[Source, str], *, here: bool) -> Finding:
    silent = [f"{_place(source)} ({reason})" for source, reason in reasons.items() if reason]
    answers = [_place(source) for source, reason in reasons.items() if not reason]
    listed = f"; not {', '.join(silent)}" if silent else ""
    if answers:
        text = f"{len(answers)} of {len(reasons)} sources answer: {', '.join(answers)}{listed}"
        return Finding(name, NOTE if silent else OK, text)
    if here:
        return Finding(name, NOTE, f"it is in data/downloads; no source answers{listed}")
    remedy = "check the network and the proxy; make repro names files to put by hand"
    return Finding(name, FAIL, f"no source answers{listed}: {remedy}")


def _place(source: Source) -> str:
    return urlsplit(source.via.name).hostname or source.via.name
