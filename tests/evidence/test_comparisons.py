"""Comparisons, families and factorials of a study: which numbers they rest on, and the holes."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.project import ROOT
from helpers.synthetic_study import COMBINE, FACTORIAL, SENSITIVITY, make_study, predictions

from cifar_tricks.base.arrays import read_arrays
from cifar_tricks.evidence.comparisons import COLUMNS, comparison_table, to_csv, to_latex
from cifar_tricks.evidence.effects import pool, sensitivity_family, tricks_family
from cifar_tricks.evidence.factorials import factorials
from cifar_tricks.evidence.predictions import right_answers
from cifar_tricks.evidence.sampling import near_duplicates, optimism, score_images
from cifar_tricks.evidence.study_results import StudyResults

SEEDS = tuple(range(8))


@pytest.fixture
def study(tmp_path: Path) -> Iterator[StudyResults]:
    """Eight seeds: enough for four comparisons."""
    with make_study(
        tmp_path,
        seeds=SEEDS,
        improve="{}",
        combine=COMBINE,
        factorial=FACTORIAL,
        sensitivity=SENSITIVITY,
    ) as study:
        yield study


def accuracies(key: str) -> np.ndarray:
    content = json.loads(Path("reports/small/metrics.json").read_text())["variants"]
    return np.array(content[key]["test_accuracy"]["values"])


def test_a_comparison_rests_on_equal_seeds(study: StudyResults) -> None:
    family = tricks_family(study, predictions())
    assert [effect.result.key for effect in family.effects] == [
        "model1-augment",
        "model1-leaky_relu",
        "narrow-augment",
        "narrow-leaky_relu",
    ]
    assert family.resolvable and family.seeds_needed == 8
    raw = []
    for effect in family.effects:
        differences = accuracies(effect.result.key) - accuracies(
            f"{effect.result.variant.model}-baseline"
        )
        assert effect.comparison is not None
        assert effect.comparison.summary.mean == pytest.approx(differences.mean())
        flips = np.array(list(itertools.product([-1, 1], repeat=8)))
        means = np.abs((flips * differences).mean(1))
        raw.append(float((means >= abs(differences.mean()) - 1e-12).mean()))
        assert effect.comparison.p_value == pytest.approx(raw[-1])
    order, running, expected = np.argsort(raw), 0.0, [0.0] * 4
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (4 - rank) * raw[place]))
        expected[place] = running
    assert [effect.adjusted_p for effect in family.effects] == pytest.approx(expected)


def test_mcnemar_counts_the_images_that_only_one_got_right(study: StudyResults) -> None:
    effect = tricks_family(study, predictions()).effects[0]
    frame, only_ours, only_theirs = predictions(), 0, 0
    for seed in SEEDS:
        ours = frame[f"model1-augment/seed={seed}"] == frame["label"]
        theirs = frame[f"model1-baseline/seed={seed}"] == frame["label"]
        only_ours += int((ours & ~theirs).sum())
        only_theirs += int((theirs & ~ours).sum())
    assert effect.mcnemar is not None
    assert (effect.mcnemar.only_ours, effect.mcnemar.only_theirs) == (only_ours, only_theirs)


def test_claims_come_from_the_original(study: StudyResults) -> None:
    tricks = tricks_family(study, predictions())
    settings = sensitivity_family(study, predictions())
    claims = {e.result.key: (e.claim, e.original) for e in (*tricks.effects, *settings.effects)}
    assert claims["model1-augment"] == ("better", pytest.approx(0.0367))
    assert claims["model1-leaky_relu"] == ("better", pytest.approx(0.0116))
    assert claims["narrow-augment"] == (None, None)
    assert claims["sensitivity-model1_batch_32"] == ("worse", None)
    assert claims["sensitivity-model1_hidden_128"] == ("little", None)
    assert claims["sensitivity-own"] == (None, None)
    verdicts = {"confirmed", "contradicted", "not resolved"}
    for effect in (*tricks.effects, *settings.effects):
        assert effect.verdict in (verdicts if effect.claim else {""})


@pytest.mark.parametrize(
    ("kind", "flaw"),
    [
        ({"missing": {"narrow-augment"}}, "missing"),
        ({"diverged": {("narrow-augment", 3)}}, "diverged (1 of 8 seeds)"),
        ({"diverged": {("narrow-baseline", 0)}}, "baseline diverged (1 of 8 seeds)"),
    ],
)
def test_a_hole_is_named_and_still_counts(kind: dict[str, Any], flaw: str, tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=SEEDS, **kind) as study:
        family = tricks_family(study, predictions())
    hole, first = family.find("narrow-augment"), family.find("model1-augment")
    assert hole is not None and hole.flaw == flaw
    assert (hole.comparison, hole.adjusted_p, hole.mcnemar) == (None, None, None)
    assert first is not None and first.comparison is not None and first.adjusted_p is not None
    # The least of four p-values is multiplied by four, though one of the four is not there.
    raw = [e.comparison.p_value for e in family.effects if e.comparison]
    least = min(value for value in raw if value is not None)
    adjusted = min(e.adjusted_p for e in family.effects if e.adjusted_p is not None)
    assert adjusted == pytest.approx(min(1.0, 4 * least))


def test_few_seeds_give_no_adjusted_p(tmp_path: Path) -> None:
    with make_study(tmp_path, seeds=(0, 1, 2)) as study:
        family = tricks_family(study, predictions())
        table = comparison_table(study, [family])
    assert not family.resolvable and family.smallest_p == 0.25
    assert {effect.adjusted_p for effect in family.effects} == {None}
    assert {effect.verdict for effect in family.effects} <= {"not resolved", ""}
    assert table["p_value"].isna().all() and table["difference_low"].notna().all()


def test_factorial_finds_its_cells_by_recipe_and_names_what_is_missing(study: StudyResults) -> None:
    first, second = factorials(study)
    assert {tuple(sorted(names)): result.key for names, result in first.cells.items()} == {
        (): "model1-baseline",
        ("augment",): "model1-augment",
        ("leaky_relu",): "model1-leaky_relu",
        ("augment", "leaky_relu"): "combine-both",
    }
    base, augment, leaky, both = (accuracies(result.key) for result in first.cells.values())
    effects = {contrast.tricks: contrast.comparison.summary.mean for contrast in first.contrasts}
    assert effects["augment",] == pytest.approx((augment - base + both - leaky).mean() / 2)
    assert effects["leaky_relu",] == pytest.approx((leaky - base + both - augment).mean() / 2)
    assert effects["augment", "leaky_relu"] == pytest.approx(
        (both - leaky - augment + base).mean() / 2
    )
    assert second.contrasts == ()
    assert second.holes == ("augment + leaky_relu: no variant has this recipe; add it to combine",)


def test_the_tables_for_papers_hold_the_same_numbers(study: StudyResults) -> None:
    families = tricks_family(study, predictions()), sensitivity_family(study, predictions())
    table = comparison_table(study, families)
    Path("table.csv").write_text(to_csv(table))
    again = pd.read_csv("table.csv")
    assert tuple(again.columns) == COLUMNS and len(again) == 4 + 3
    row = again.set_index("key").loc["narrow-augment"]
    assert (
        row["difference"] == (accuracies("narrow-augment") - accuracies("narrow-baseline")).mean()
    )
    latex = to_latex(table, study.params)
    assert latex.count(r"\toprule") == 1 and "leaky\\_relu" in latex
    assert f"${100 * row['difference']:+.2f}$" in latex and f"{row['p_holm']:.3f}" in latex


def test_accuracy_without_near_duplicates_and_its_noise(study: StudyResults) -> None:
    frame, result = predictions(), study.results["model1-augment"]
    score = score_images(frame, result, duplicates=near_duplicates())
    assert score is not None
    left_out = [image for image in near_duplicates() if image < len(frame)]
    assert left_out == [31, 40, 102, 104, 131, 136, 149, 159]
    kept = [image for image in range(len(frame)) if image not in left_out]
    right = right_answers(frame, result)
    assert right.shape == (len(SEEDS), len(frame))
    assert score.accuracy == pytest.approx(accuracies("model1-augment").mean())
    assert score.without_duplicates == pytest.approx(right[:, kept].mean())
    assert score.interval.low < score.accuracy < score.interval.high


def test_optimism_is_over_all_small_nets(study: StudyResults) -> None:
    results = [r for r in study.results.values() if r.variant.group != "transfer"]
    pooled = pool(predictions(), results)
    assert pooled.shape == (len(results) * len(SEEDS), len(predictions()))
    found = optimism(study, predictions())
    assert found is not None and found.optimism > 0


@pytest.mark.skipif(
    not (ROOT / "data/dataset/test.safetensors").exists(), reason="needs CIFAR-10: make repro"
)
def test_listed_images_resemble_training_images_more_than_others_do() -> None:
    train = read_arrays(ROOT / "data/dataset/train.safetensors")["images"].reshape(50_000, -1)
    test = read_arrays(ROOT / "data/dataset/test.safetensors")["images"].reshape(10_000, -1)
    numbers = np.random.default_rng(0)
    listed = numbers.choice(near_duplicates(), 40, replace=False)
    others = numbers.choice(np.setdiff1d(np.arange(10_000), near_duplicates()), 40, replace=False)
    rows = test[np.concatenate([listed, others])].astype(np.float32)
    rows = rows - rows.mean(1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    closest = np.full(80, -1.0)
    for part in np.array_split(train, 25):
        images = part.astype(np.float32)
        images -= images.mean(1, keepdims=True)
        images /= np.linalg.norm(images, axis=1, keepdims=True) + 1e-6
        closest = np.maximum(closest, (rows @ images.T).max(1))
    assert np.median(closest[:40]) > 0.85 > 0.75 > np.median(closest[40:])
