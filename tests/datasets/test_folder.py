"""Image folders: what becomes of every kind of file, and what is refused in a line."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.image_folder import colour_of, picture, write_image_folder
from PIL import ExifTags, Image

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.base.errors import UserError
from cifar_tricks.datasets import catalogue, fingerprint, folder_images
from cifar_tricks.datasets.catalogue import look
from cifar_tricks.datasets.dataset import read_dataset
from cifar_tricks.datasets.folder import list_folder
from cifar_tricks.datasets.importers import import_dataset

RED, BLUE = (200, 30, 30), (20, 40, 220)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def refusal(spec: str, *, decoded: bool = False) -> str:
    """The line that a data set is refused with: before anything is read, or while it is."""
    if decoded:
        look(spec)
        with pytest.raises(UserError) as caught:
            import_dataset(spec, Path("out"))
        assert not list(Path("out").glob("*"))
        line = str(caught.value)
    else:
        with pytest.raises(ValueError) as found:
            look(spec)
        line = str(found.value)
    assert "\n" not in line and line.isprintable()
    return line


def test_a_folder_becomes_a_data_set(project: Path) -> None:
    write_image_folder(project / "my pets")
    known = look("folder:my pets")
    assert (known.name, known.title) == ("folder", "my pets")
    assert known.class_names == ("cat", "dog", "owl")
    assert (known.image_size, known.train_images, known.test_images) == (32, 12, 6)
    dataset, manifest = import_dataset("folder:my pets", Path("out"))
    assert read_dataset(Path("out")) == ("folder:my pets", dataset)
    assert dataset.notes == (
        "The middle square of each image (40 x 36 pixels) was resized to 32 x 32.",
    )
    assert manifest["assets"] == {} and list(manifest["files"]) == [
        "out/train.safetensors",
        "out/test.safetensors",
    ]
    for split, count in (("train", 12), ("test", 6)):
        arrays = read_arrays(f"out/{split}.safetensors")
        assert arrays["images"].shape == (count, 3, 32, 32) and arrays["images"].dtype == np.uint8
        assert arrays["labels"].dtype == np.int64
        for image, label in zip(arrays["images"], arrays["labels"], strict=True):
            np.testing.assert_allclose(image.mean((1, 2)), colour_of(label, 3), atol=3)


def test_the_same_folder_gives_the_same_bytes_wherever_and_however_it_lies(project: Path) -> None:
    write_image_folder(project / "one")
    specs = ["folder:one", "folder:elsewhere/two"]
    for path in sorted(
        (project / "one").rglob("*.png"), key=lambda path: path.name, reverse=True
    ):  # in another order
        copy = project / "elsewhere/two" / path.relative_to(project / "one")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        os.utime(copy, (1, 1))
    contents = []
    for number, spec in enumerate(specs):
        import_dataset(spec, Path(str(number)))
        names = ("train.safetensors", "test.safetensors")
        contents.append([(Path(str(number)) / name).read_bytes() for name in names])
    assert contents[0] == contents[1]
    assert catalogue.fingerprint(specs[0]) == catalogue.fingerprint(specs[1])
    first, second = (read_dataset(Path(name))[1] for name in "01")
    assert first.content == second.content and first.source == second.source


def test_the_first_images_are_a_sample_of_all_classes(project: Path) -> None:
    write_image_folder(project / "pets", train=30, test=30)
    import_dataset("folder:pets", Path("out"))
    for split in ("train", "test"):
        labels = read_arrays(f"out/{split}.safetensors")["labels"]
        assert np.bincount(labels[:45]).min() >= 8


def test_pixels_of_the_right_size_stay_as_they_are(project: Path) -> None:
    write_image_folder(project / "pets", ["a", "b"], train=1, test=1, size=(32, 32))
    dataset, _ = import_dataset("folder:pets", Path("out"))
    assert dataset.notes == ()
    arrays = read_arrays("out/train.safetensors")
    for image, label in zip(arrays["images"], arrays["labels"], strict=True):
        with Image.open(project / "pets/train" / "ab"[label] / "0.png") as given:
            np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(given))


def halves(size: tuple[int, int] = (80, 80)) -> Image.Image:
    """The left half red, the right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned to the right: its left is then above
    halves().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=100)


def animated(path: Path) -> None:
    halves().save(path, save_all=True, append_images=[Image.new("RGB", (80, 80), "green")])


def on_alpha(path: Path) -> None:
    image = halves().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 40, 80, 80))
    image.save(path)


def gray16(path: Path) -> None:
    values = np.full((80, 80), 120 << 8, dtype=np.uint16)
    Image.fromarray(values).save(path)


WHITE, GRAY = (255, 255, 255), (120, 120, 120)
KINDS: dict[str, tuple[str, Callable[[Path], object], tuple[int, int, int], tuple[int, int, int]]]
# How it is written, and what is at the upper left and at the lower right.
KINDS = {
    "png": ("png", lambda path: halves().save(path), RED, BLUE),
    "jpg": ("jpg", lambda path: halves().save(path, quality=100), RED, BLUE),
    "webp": ("webp", lambda path: halves().save(path), RED, BLUE),
    "bmp": ("bmp", lambda path: halves().save(path), RED, BLUE),
    "palette": ("png", lambda path: halves().quantize(4).save(path), RED, BLUE),
    "gif": ("gif", animated, RED, BLUE),
    "cmyk": ("jpg", lambda path: halves().convert("CMYK").save(path, quality=100), RED, BLUE),
    "alpha": ("png", on_alpha, RED, WHITE),
    "gray": ("png", lambda path: Image.new("L", (50, 90), 120).save(path), GRAY, GRAY),
    "gray alpha": (
        "png",
        lambda path: Image.new("LA", (50, 90), (120, 255)).save(path),
        GRAY,
        GRAY,
    ),
    "gray 16 bits": ("png", gray16, GRAY, GRAY),
    "exif": ("jpg", turned, RED, BLUE),
    "tiny": ("png", lambda path: Image.new("RGB", (1, 1), BLUE).save(path), BLUE, BLUE),
    "long": ("png", lambda path: Image.new("RGB", (3000, 2), BLUE).save(path), BLUE, BLUE),
}


def test_every_kind_of_image_becomes_colour_of_one_size(project: Path) -> None:
    write_image_folder(project / "pets", ["a", "b"], train=1, test=1)
    for name, (suffix, write, _, _) in KINDS.items():
        folder = project / "pets/train" / name
        folder.mkdir()
        (project / "pets/train/a" / f"of {name}.txt").touch()
        (project / "pets/train/a" / f"of {name}.txt").unlink()
        write(folder / f"x.{suffix}")
    dataset, _ = import_dataset("folder:pets", Path("out"))
    arrays = read_arrays("out/train.safetensors")
    for image, label in zip(arrays["images"], arrays["labels"], strict=True):
        name = dataset.class_names[label]
        if name in KINDS:
            _, _, first, last = KINDS[name]
            np.testing.assert_allclose(image[:, 2, 2], first, atol=14, err_msg=name)
            np.testing.assert_allclose(image[:, 29, 29], last, atol=14, err_msg=name)
    assert "(1 x 1 to 80 x 80 pixels)" in dataset.notes[1]


def test_what_systems_leave_behind_is_passed_over(project: Path) -> None:
    write_image_folder(project / "pets")
    before = look("folder:pets")
    for name in (".DS_Store", "train/.DS_Store", "train/cat/.DS_Store", "train/cat/._0.png"):
        (project / "pets" / name).write_bytes(b"odd")
    for name in ("train/dog/Thumbs.db", "test/desktop.ini", "README.txt"):
        (project / "pets" / name).write_bytes(b"odd")
    for name in ("train/.ipynb_checkpoints", "train/cat/.hidden"):
        (project / "pets" / name).mkdir()
        (project / "pets" / name / "x.png").write_bytes(b"odd")
    assert look("folder:pets") == before
    import_dataset("folder:pets", Path("out"))


def test_names_in_every_script_and_images_further_down(project: Path) -> None:
    names = [
        "Köter",
        "猫",
        "собака",
        "\u06a9\u062a\u0627\u0628\u200c\u062e\u0627\u0646\u0647",
        'it\'s <b>&"x", y',
        "st. bernard",
        "🦉 owl",
    ]
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    write_image_folder(project / "données", decomposed)
    folder = project / "données/train" / decomposed[0]
    (folder / "images").mkdir()
    shutil.move(folder / "0.png", folder / "images/0.png")
    dataset, _ = import_dataset("folder:données", Path("out"))
    assert dataset.class_names == tuple(sorted(names))
    assert read_dataset(Path("out"))[1] == dataset
    assert dataset.train_images == 4 * len(names)


def test_two_hundred_classes(project: Path) -> None:
    names = [f"n{number:08}" for number in range(200)]
    write_image_folder(project / "many", names, train=1, test=1, size=(8, 8))
    dataset, _ = import_dataset("folder:many", Path("out"))
    assert dataset.class_names == tuple(names)
    assert sorted(read_arrays("out/test.safetensors")["labels"]) == list(range(200))


def test_notes_on_what_a_reader_has_to_know(project: Path) -> None:
    root = write_image_folder(project / "pets")
    shutil.rmtree(root / "test/dog")
    (root / "val").mkdir()
    shutil.copyfile(root / "train/cat/0.png", root / "test/cat/same.png")
    dataset, _ = import_dataset("folder:pets", Path("out"))
    assert look("folder:pets").test_images == dataset.test_images == 5
    assert dataset.notes == (
        "No test images of 1 class: dog.",
        "Not used: val.",
        "The middle square of each image (40 x 36 pixels) was resized to 32 x 32.",
        "Of 5 test images 1 is a training image as well, pixel by pixel.",
    )


def link(at: str, to: str) -> Callable[[Path], object]:
    return lambda root: (root / at).symlink_to(to)


def bad(at: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / at).write_bytes(content)


def emptied(at: str) -> Callable[[Path], object]:
    return lambda root: [path.unlink() for path in (root / at).iterdir()]


def moved(at: str, to: str) -> Callable[[Path], object]:
    return lambda root: (root / at).rename(root / to)


def one_class(root: Path) -> None:
    for name in ("train/cat", "train/dog"):
        shutil.rmtree(root / name)


LISTED = {
    "no train": (moved("train", "training"), "pets has no folder train; it has: "),
    "no test": (moved("test", "val"), "pets has no folder test; it has: "),
    "train is a file": (
        lambda root: (shutil.rmtree(root / "train"), (root / "train").touch()),
        "pets has no folder train",
    ),
    "one class": (one_class, "pets/train has only the class owl; two are needed at least"),
    "empty class": (emptied("train/dog"), "pets/train/dog has no images"),
    "no test image": (
        lambda root: [emptied(f"test/{name}")(root) for name in ("cat", "dog", "owl")],
        "pets/test has no images",
    ),
    "a class in test only": (moved("test/dog", "test/dgo"), "did you mean dog?"),
    "an image outside of a class": (bad("train/x.png", b"x"), "train/x.png belongs to no class"),
    "a link to a file outside": (link("train/cat/x.png", "/etc/passwd"), "outside, to /etc/passwd"),
    "a link to a folder outside": (link("train/cat/x", "/etc"), "train/cat/x is a link that leads"),
    "a class that is a link": (link("train/bat", "/etc"), "train/bat is a link that leads outside"),
    "a split that is a link": (
        lambda root: (shutil.rmtree(root / "test"), (root / "test").symlink_to("/etc")),
        "pets/test is a link that leads outside, to /etc",
    ),
    "a link up": (link("train/cat/up", ".."), "cat/up is a link to a folder"),
    "a link to nothing": (link("train/cat/x.png", "gone.png"), "is a link that leads nowhere"),
    "a link to itself": (link("train/cat/x.png", "x.png"), "is a link that leads nowhere"),
    "a pipe": (lambda root: os.mkfifo(root / "train/cat/x.png"), "x.png is no ordinary file"),
    "a line end in a name": (moved("train/cat", "train/c\nat"), r"train/c\nat: its name cannot"),
    "bytes that are no text": (
        lambda root: (root / "train/cat").rename(root / "train/c\udcffat"),
        r"\udcffat: its name cannot be a class's name",
    ),
    "a name of spaces": (moved("train/cat", "train/  "), "its name cannot be a class's name"),
    "one name in two spellings": (
        lambda root: [
            (root / "train" / unicodedata.normalize(form, "é")).mkdir() for form in ("NFC", "NFD")
        ],
        "there are two folders of this name",
    ),
}


@pytest.mark.parametrize("case", LISTED)
@pytest.mark.fault("hostile")
def test_what_is_refused_before_any_image_is_read(case: str, project: Path) -> None:
    spoil, words = LISTED[case]
    spoil(write_image_folder(project / "pets"))
    line = refusal("folder:pets")
    assert (words in line and "pets/" in line) or (words in line and "pets has" in line)


def truncated(root: Path) -> None:
    path = root / "train/dog/3.jpg"
    picture(RED, 0, (200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def bomb(root: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(root / "train/dog/3.png")


DECODED = {
    "no image": (bad("train/dog/3.png", b"no image"), "is no picture that can be read"),
    "text": (bad("test/dog/notes.txt", b"see below"), "dog/notes.txt is no picture"),
    "empty": (bad("train/dog/3.png", b""), "train/dog/3.png is empty"),
    "truncated": (truncated, "train/dog/3.jpg is damaged"),
    "bomb": (bomb, "train/dog/3.png: the picture is too large"),
    "32 bits": (
        lambda root: Image.new("F", (9, 9)).save(root / "train/dog/3.tif"),
        "train/dog/3.tif is damaged: 32 bits per channel",
    ),
}


@pytest.mark.parametrize("case", DECODED)
@pytest.mark.fault("hostile")
def test_an_image_that_cannot_be_read_is_named_and_nothing_written(
    case: str, project: Path
) -> None:
    spoil, words = DECODED[case]
    spoil(write_image_folder(project / "pets"))
    assert words in refusal("folder:pets", decoded=True)


def test_links_within_the_folder_are_files_like_others(project: Path) -> None:
    root = write_image_folder(project / "pets")
    (root / "all").mkdir()
    shutil.move(root / "train/cat/0.png", root / "all/0.png")
    (root / "train/cat/0.png").symlink_to("../../all/0.png")
    (project / "by another name").symlink_to("pets")
    assert look("folder:by another name").train_images == 12
    import_dataset("folder:by another name", Path("out"))


def test_where_a_path_leads(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_folder(tmp_path / "home/my pets")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for spec in ("folder:~/my pets", "folder:../home/my pets", f"folder:{tmp_path}/home/my pets/"):
        assert look(spec).train_images == 12
    # DVC runs queued experiments in a copy of the project that holds what git tracks.
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(project))
    write_image_folder(project / "own")
    assert look("folder:own").train_images == 12


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("folder:nowhere", "nowhere is not there"),
        ("folder:", "the path is missing"),
        ("folder:~nobody-of-this-name/x", "is not there"),
        ("folder:a\0b", "is not there"),
        ("folder:" + "x" * 5000, "cannot be read: File name too long"),
        ("folder:file", "file is a file; a folder is needed"),
        ("pets", "did you mean folder:pets?"),
        ("./pets", "did you mean folder:./pets?"),
        ("Fashion-MNIST", "did you mean fashion_mnist?"),
        ("cifar-10", "did you mean cifar10?"),
        ("imagenet", "valid: cifar10, cifar100, fashion_mnist, mnist, digits, folder:PATH"),
    ],
)
def test_a_wrong_name_is_one_line(spec: str, words: str, project: Path) -> None:
    (project / "file").touch()
    (project / "pets").mkdir()
    assert words in refusal(spec)


def test_a_fingerprint_follows_names_and_bytes_and_nothing_else(project: Path) -> None:
    root = write_image_folder(project / "pets")
    seen = [catalogue.fingerprint("folder:pets")]
    os.utime(root / "train/cat/0.png", (5, 5))
    (root / "train/.DS_Store").touch()
    assert catalogue.fingerprint("folder:pets") == seen[0]
    changes: list[Callable[[], object]] = [
        lambda: (root / "train/cat/0.png").rename(root / "train/cat/9.png"),
        lambda: (root / "train/cat/9.png").rename(root / "train/dog/9.png"),
        lambda: shutil.copyfile(root / "train/dog/9.png", root / "test/dog/9.png"),
        lambda: (root / "test/dog/9.png").unlink(),
        lambda: flip(root / "test/dog/1.png"),
    ]
    for change in changes:
        change()
        seen.append(catalogue.fingerprint("folder:pets"))
    assert seen[4] == seen[2]  # without the copy, it is as before
    assert len(set(seen)) == len(seen) - 1


def flip(path: Path) -> None:
    """Another byte, and the size and time of before."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_fingerprint_reads_the_files_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_image_folder(project / "pets")
    read: list[Path] = []

    def hash_file(path: Path) -> str:
        read.append(path)
        return str(path.stat().st_size)

    monkeypatch.setattr(fingerprint, "hash_file", hash_file)
    catalogue.fingerprint("folder:pets")
    catalogue.fingerprint("folder:pets")
    assert len(read) == 36  # files as young as these may change within one tick of the clock
    monkeypatch.setattr(fingerprint, "TICK_SECONDS", -1)
    first = catalogue.fingerprint("folder:pets")
    read.clear()
    assert catalogue.fingerprint("folder:pets") == first and not read
    flip(root / "test/dog/1.png")
    catalogue.fingerprint("folder:pets")
    assert len(read) == 18
    for note in (project / "data/downloads").iterdir():
        note.write_text("odd")
    assert catalogue.fingerprint("folder:pets") == first


def test_a_folder_that_lies_on_another_machine_is_known_from_its_import(project: Path) -> None:
    write_image_folder(project / "pets")
    dataset, _ = import_dataset("folder:pets", Path("data/dataset"))
    mark = catalogue.fingerprint("folder:pets")
    shutil.rmtree(project / "pets")
    assert look("folder:pets") == dataset
    assert catalogue.fingerprint("folder:pets") == mark
    assert "is not there" in refusal("folder:other")
    (project / "pets").mkdir()  # here after all, and wrong
    assert "has no folder train" in refusal("folder:pets")


def test_many_images_are_read_in_their_order(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_images, "CHUNK", 5)
    write_image_folder(project / "pets", train=7)
    listing = list_folder("pets")
    splits, _ = folder_images.read_images(listing)
    order = folder_images.shuffled(listing, "train")
    assert len(order) == 21
    for image, (name, _) in zip(splits["train"]["images"], order, strict=True):
        alone = folder_images.read_image(listing.root / name)[0]
        np.testing.assert_array_equal(image, alone)
