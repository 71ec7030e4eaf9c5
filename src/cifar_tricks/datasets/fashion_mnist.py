"""Fashion-MNIST: where it comes from.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", 2017.
"""

from collections.abc import Sequence
from pathlib import Path

from cifar_tricks.data.archives import read_deb_members, unzip
from cifar_tricks.data.assets import Asset, Deb, Source
from cifar_tricks.datasets import idx
from cifar_tricks.datasets.ways import Splits, Way

HOSTS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
PACKED = {
    "train-images-idx3-ubyte": (
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ),
    "train-labels-idx1-ubyte": (
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "25c81989df183df01b3e8a0aad5dffbe",
    ),
    "t10k-images-idx3-ubyte": (
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "bef4ecab320f06d8554ea6380940ec79",
    ),
    "t10k-labels-idx1-ubyte": (
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}
VERSION = "0.0~git20200523.55506a9-1"
# The same files as above, packed anew.
PACKAGE = Asset(
    name="fashion_mnist",
    decoded_bytes=170_000_000,
    sources=(
        Source(
            file_name=f"dataset-fashion-mnist_{VERSION}_all.deb",
            sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            num_bytes=30_900_652,
            via=Deb(package="dataset-fashion-mnist", version=VERSION),
        ),
    ),
)


def _from_package(paths: Sequence[Path]) -> Splits:
    places = {name: f"/usr/share/datasets/fashion-mnist/{name}.gz" for name in idx.FILES}
    # Packed, a file is hardly ever longer than it is.
    members = read_deb_members(paths[0], {places[name]: size for name, size in idx.FILES.items()})
    return idx.read({name: unzip(members[places[name]], idx.FILES[name]) for name in idx.FILES})


WAYS = (
    Way(assets=idx.assets("fashion_mnist", HOSTS, PACKED), decode=idx.read_zipped),
    Way(assets=(PACKAGE,), decode=_from_package),
)
