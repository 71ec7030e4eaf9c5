"""CIFAR-10 in parts below 64 MiB, for a machine that takes no larger files and reaches no host.

    python benchmarks/cifar_parts.py pack data PARTS     # writes PARTS/{train-0,train-1,test}.bin
    python benchmarks/cifar_parts.py unpack PARTS data   # the same bytes, copies of `augment` too

A part is a line of JSON, the labels as bytes, and lossless WebP images of STRIP pictures each.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))  # a bare machine has the checkout and nothing installed

import numpy as np
from PIL import Image

from cifar_tricks.base.arrays import Arrays, content_hash, read_arrays, write_arrays
from cifar_tricks.base.errors import UserError, exit_code
from cifar_tricks.base.files import write_atomically
from cifar_tricks.parameters.load import load_params
from cifar_tricks.tricks.augment import Augment, write_copies

STRIP = 400
LARGEST = 64 * 2**20
# The file and its share that each part holds: the first one is enough for short trials.
PARTS = {
    "train-0": ("train", 0.0, 0.576),
    "train-1": ("train", 0.576, 1.0),
    "test": ("test", 0.0, 1.0),
}


def pack(data: Path, target: Path) -> None:
    """Writes the parts.

    Args:
        data: has ``dataset/train.safetensors`` and ``test.safetensors``.
        target: the folder for the parts.

    Raises:
        UserError: the files are missing or damaged, or a part grows too large.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name, (split, start, end) in PARTS.items():
        file = read_arrays(data / f"dataset/{split}.safetensors", remedy="make repro fetches it")
        total = len(file["labels"])
        rows = slice(round(total * start), round(total * end))
        images, labels = file["images"][rows], file["labels"][rows]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            starts = range(0, len(images), STRIP)
            strips = list(pool.map(_squeeze, (images[at : at + STRIP] for at in starts)))
        head = {
            "part": name,
            "images": len(images),
            "sha256": content_hash({"images": images, "labels": labels}),
            "file": file.sha256,
            "strips": [len(strip) for strip in strips],
        }
        content = json.dumps(head).encode() + b"\n" + labels.astype(np.uint8).tobytes()
        content += b"".join(strips)
        if len(content) >= LARGEST:
            raise UserError(f"{name}: {len(content)} bytes, a part may have less than {LARGEST}")
        write_atomically(target / f"{name}.bin", content)
        print(f"{target / name}.bin: {len(content) / 1e6:.1f} MB", flush=True)


def unpack(source: Path, data: Path) -> None:
    """Writes CIFAR-10 as ``pack`` found it, and what the stage ``augment`` makes of it.

    Args:
        source: the folder of the parts.
        data: where the files go.

    Raises:
        UserError: a part is missing, cut, or of other data.
    """
    found = {name: _read_part(source / f"{name}.bin", name) for name in PARTS}
    whole: dict[str, dict[str, np.ndarray]] = {}
    for split in ("train", "test"):
        parts = [found[name] for name, (of, *_) in PARTS.items() if of == split]
        arrays = {name: np.concatenate([p[1][name] for p in parts]) for name in parts[0][1]}
        if {head["file"] for head, _ in parts} != {content_hash(arrays)}:
            raise UserError(f"{source}: the parts of {split} are not of one file; pack them anew")
        whole[split] = arrays
    for split, arrays in whole.items():
        path = data / f"dataset/{split}.safetensors"
        print(f"{path}: {write_arrays(path, arrays)}", flush=True)
    train = Arrays(arrays=whole["train"], sha256=content_hash(whole["train"]))
    values = load_params(ROOT / "params.yaml").tricks["augment"]
    write_copies(train, data / "augmented.safetensors", Augment.model_validate(values))


def _squeeze(images: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1).reshape(-1, 32, 3))
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "WEBP", lossless=True, method=4, quality=75, exact=True)
    return target.getvalue()


def _expand(strip: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(strip), formats=["WEBP"]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def _read_part(path: Path, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        first, _, content = path.read_bytes().partition(b"\n")
        head = json.loads(first)
        labels, bounds = head["images"], list(itertools.accumulate(head["strips"], initial=0))
        strips = content[labels:]
        if head["part"] != name or len(strips) != bounds[-1]:
            raise ValueError("cut, or another part")
        pairs = itertools.pairwise(bounds)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(_expand, (strips[low:high] for low, high in pairs)))
        arrays = {
            "images": np.ascontiguousarray(np.concatenate(images)),
            "labels": np.frombuffer(content[:labels], np.uint8).astype(np.int64),
        }
        if content_hash(arrays) != head["sha256"]:
            raise ValueError("its content does not match its hash")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: unpacking needs {', '.join(PARTS)}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path} is damaged: copy it again, or pack it anew") from error
    return head, arrays


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path, help="the folder to read")
    parser.add_argument("target", type=Path, help="the folder to write")
    args = parser.parse_args(argv)
    {"pack": pack, "unpack": unpack}[args.what](args.source, args.target)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Packs or unpacks; returns the exit code."""
    return exit_code(lambda: _run(argv))


if __name__ == "__main__":
    sys.exit(main())
