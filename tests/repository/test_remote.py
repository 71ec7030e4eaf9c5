"""Data and nets go through a real S3 server to a fresh clone."""

import shutil
from pathlib import Path

import pytest
from helpers.cluster import s3
from helpers.dvc_repository import Repository

pytestmark = pytest.mark.cluster
STAGES = ("augment", "train@model2-leaky_relu")


def test_s3_brings_all_of_it_to_a_fresh_clone(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    with s3(tmp_path / "s3") as address:
        keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret"}
        here = Repository(tmp_path / "here")
        here.repro(*STAGES)
        here.commit()
        there = here.clone(tmp_path / "there")
        for one in (here, there):
            one.run("dvc", "remote", "add", "--local", "-d", "store", "s3://study/folder")
            one.run("dvc", "remote", "modify", "--local", "store", "endpointurl", address)
        stranger = keys | {"AWS_SECRET_ACCESS_KEY": "guessed"}
        here.run("dvc", "push", "--with-deps", *STAGES, environment=stranger, code=255)
        here.run("dvc", "push", "--with-deps", *STAGES, environment=keys)
        # What it held is now nowhere but at the server.
        shutil.rmtree(here.folder / ".dvc/cache")
        there.run("dvc", "pull", "--with-deps", *STAGES, environment=keys)
        told = there.run("dvc", "status", "--with-deps", *STAGES)
    assert told.split() == ["check:", "always", "changed"]
    path = "runs/quick/model2-leaky_relu/seed=0/model.safetensors"
    assert (there.folder / path).read_bytes() == (here.folder / path).read_bytes()
