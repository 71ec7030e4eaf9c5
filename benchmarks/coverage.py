"""How often a 95% interval of a mean holds the true mean: Student's t against the BCa bootstrap.

    python benchmarks/coverage.py [--rounds 2000]

Prints the table of docs/decisions/statistics.md.
"""

import argparse
import math

import numpy as np
from scipy import stats

from cifar_tricks.evidence.statistics import summarise

SIZES = (3, 5, 10)
RESAMPLES = 999
DISTRIBUTIONS = {
    "normal": lambda generator, n: generator.normal(0, 1, n),
    # Shifted so that its mean is zero.
    "exponential (skewness 2)": lambda generator, n: generator.exponential(1, n) - 1,
}


def t_holds(sample: np.ndarray) -> bool:
    """Whether the t interval holds zero."""
    interval = summarise(sample.tolist()).interval
    assert interval is not None
    return interval.low <= 0 <= interval.high


def bca_holds(sample: np.ndarray, generator: np.random.Generator) -> bool:
    """Whether the BCa interval holds zero."""
    found = stats.bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, method="BCa", vectorized=True, rng=generator
    ).confidence_interval
    # Undefined for some samples of very few values: it then holds nothing.
    return bool(found.low <= 0 <= found.high)


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    generator = np.random.default_rng(0)
    print(f"| differences | n | t | BCa |\n|---|---:|---:|---:|  <!-- {rounds} rounds -->")
    for name, draw in DISTRIBUTIONS.items():
        for n in SIZES:
            samples = [draw(generator, n) for _ in range(rounds)]
            t = np.mean([t_holds(sample) for sample in samples])
            bca = np.mean([bca_holds(sample, generator) for sample in samples])
            print(f"| {name} | {n} | {t:.3f} | {bca:.3f} |", flush=True)
    print(f"Monte-Carlo error (one standard deviation): {math.sqrt(0.95 * 0.05 / rounds):.3f}")


if __name__ == "__main__":
    main()
