"""Which data sets there are, and what is known of each before it is fetched.

Every process that reads params.yaml looks here, so that nothing slow is imported.
"""

from __future__ import annotations

from pathlib import Path

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.wording import choose_from, printable
from cifar_tricks.datasets.dataset import Dataset, read_dataset
from cifar_tricks.datasets.folder import is_there, list_folder

GRAY = "Gray images: red, green and blue are the same."

CIFAR100_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
    plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR10 = Dataset(
    name="cifar10",
    title="CIFAR-10",
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    image_size=32,
    train_images=50_000,
    test_images=10_000,
    content="73f4c35716f3910ca58eb34417bc69df5b5fd376e39b626d463489cc528ec88d",
)
FASHION_MNIST = Dataset(
    name="fashion_mnist",
    title="Fashion-MNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    image_size=28,
    train_images=60_000,
    test_images=10_000,
    content="2c1e347bd2a0aaeae640cc118b7cfe0e8e44111aac7c5c26c6eb24072183ddb0",
    notes=(GRAY,),
)
MNIST = Dataset(
    name="mnist",
    title="MNIST",
    class_names=tuple("0123456789"),
    image_size=28,
    train_images=60_000,
    test_images=10_000,
    content="9f20c30219260412b05e3ab087a502008f191680c9ea69037275b62d35759200",
    notes=(GRAY,),
)
CIFAR100 = Dataset(
    name="cifar100",
    title="CIFAR-100",
    class_names=tuple(CIFAR100_NAMES.split()),
    image_size=32,
    train_images=50_000,
    test_images=10_000,
)
DIGITS = Dataset(
    name="digits",
    title="scikit-learn's digits",
    class_names=tuple("0123456789"),
    image_size=28,
    train_images=1_297,
    test_images=500,
    content="831cebeb860c3635993226cfb9678e0732dbc30cfffc000adf6ab04da21e4d48",
    notes=(
        GRAY,
        "Enlarged three times from 8 x 8 pixels, with a black border of two pixels around them.",
        "The first 1,297 images are for training, the last 500 are the test images.",
    ),
)
NAMED = {one.name: one for one in (CIFAR10, CIFAR100, FASHION_MNIST, MNIST, DIGITS)}
FOLDER_MARK = "folder:"
FOLDER_IMAGE_SIZE = 32


def look(spec: str) -> Dataset:
    """What is known of a data set without its images.

    Args:
        spec: one of NAMED, or ``folder:PATH``.

    Returns:
        The data set; its content hash and notes come with the import.

    Raises:
        ValueError: there is none of this name, or no such folder.
    """
    if not spec.startswith(FOLDER_MARK):
        if spec in NAMED:
            return NAMED[spec]
        if "/" in spec or Path(spec).is_dir():
            raise ValueError(f"unknown; did you mean {FOLDER_MARK}{spec}?")
        given = spec.lower().replace("-", "_")
        raise ValueError(f"unknown; {choose_from(given, [*NAMED, FOLDER_MARK + 'PATH'])}")
    path = spec.removeprefix(FOLDER_MARK)
    try:
        listing = list_folder(path)
    except UserError as error:
        if imported := _imported(spec):
            return imported
        raise ValueError(str(error)) from error
    return Dataset(
        name="folder",
        title=printable(listing.root.name) or "images",
        class_names=listing.class_names,
        image_size=FOLDER_IMAGE_SIZE,
        train_images=len(listing.files["train"]),
        test_images=len(listing.files["test"]),
        notes=listing.notes,
    )


def _imported(spec: str) -> Dataset | None:
    """A data set as it was imported on another machine, where its folder lies."""
    try:
        known, dataset = read_dataset()
    except UserError:
        return None
    there = is_there(spec.removeprefix(FOLDER_MARK))
    return dataset if known == spec and not there else None


def fingerprint(spec: str) -> str:
    """Changes when the source of a data set does: that of a named one never does.

    Raises:
        UserError: a folder is not there, or not what it should be.
    """
    if not spec.startswith(FOLDER_MARK):
        return spec
    if imported := _imported(spec):
        return imported.source
    from cifar_tricks.datasets.fingerprint import fingerprint_of

    return fingerprint_of(list_folder(spec.removeprefix(FOLDER_MARK)))
