"""Questions to the nodes of a Ray cluster: what they hold, and what they do."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from cifar_tricks.engines import node_store

# For a node's answer what it holds; one that hangs is not waited for.
ASK_SECONDS = 60.0
BUSY_SECONDS = 10.0

Wanted = tuple[str, int]


class Nodes:
    """The living nodes of a cluster.

    Args:
        ray: the package, connected.
    """

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self.asked: dict[str, Any] = {}
        self.asked_at = 0.0
        self.does: dict[str, list[str]] = {}
        ray.cloudpickle.register_pickle_by_value(node_store)
        remote = ray.remote(num_cpus=0, max_retries=0)
        self.held_by, self.weights_of, self.running_on = map(
            remote, (_held(), _weights(), _running())
        )

    def names(self) -> dict[str, str]:
        """By the nodes' ids; an address where several have one name."""
        alive = [one for one in self.ray.nodes() if one["Alive"]]
        count = Counter(one["NodeManagerHostname"] for one in alive)
        return {
            one["NodeID"]: one["NodeManagerHostname"]
            if count[one["NodeManagerHostname"]] == 1
            else one["NodeManagerAddress"]
            for one in alive
        }

    def held(
        self, scale: str, wanted: Sequence[Wanted]
    ) -> tuple[list[tuple[str, Wanted, bytes]], dict[Wanted, str]]:
        """What nodes have of some seeds.

        Args:
            scale: of params.yaml.
            wanted: variants and seeds.

        Returns:
            Records, each with the node that has it, and the nodes that have begun a seed.
        """
        asked = {number: self._ask(number, self.held_by, scale, wanted) for number in self.names()}
        records: list[tuple[str, Wanted, bytes]] = []
        begun: dict[Wanted, str] = {}
        for number, ref in asked.items():
            found = self._answer(ref)
            if found is not None:
                records += [(number, *one) for one in found[0].items()]
                begun |= dict.fromkeys(found[1], number)
        return records, begun

    def weights(self, number: str, seed: Wanted, record: bytes) -> bytes | None:
        """The weights of a record that a node has; None where they are gone, or the node is."""
        answer: bytes | None = self._answer(self._ask(number, self.weights_of, *seed, record))
        return answer

    def busy(self) -> dict[str, list[str]] | None:
        """What each node does, by its name, as far as they have answered; None where nothing is to
        be told yet. Does not wait."""
        ready = self.ray.wait([*self.asked.values()], num_returns=len(self.asked), timeout=0)[0]
        for number, ref in [*self.asked.items()] if self.asked else ():
            if ref in ready:
                self.does[number] = self._answer(self.asked.pop(number)) or []
        if time.monotonic() - self.asked_at < BUSY_SECONDS:
            return None
        self.asked_at, names = time.monotonic(), self.names()
        told: dict[str, list[str]] = defaultdict(list)
        for number, name in names.items():
            if number not in self.asked:
                self.asked[number] = self._ask(number, self.running_on)
            told[name] += self.does.get(number, [])
        return told

    def _ask(self, number: str, task: Any, *arguments: Any) -> Any:
        """Runs a task on a node, however busy that is."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(number, soft=False)
        return task.options(scheduling_strategy=there).remote(*arguments)

    def _answer(self, ref: Any) -> Any:
        """What it returned; None where the node has just gone, or hangs."""
        try:
            return self.ray.get(ref, timeout=ASK_SECONDS)
        except self.ray.exceptions.RayError:
            return None


# As functions that Ray sends by their code: nodes have no such package.


def _held() -> Callable[..., Any]:
    return lambda scale, wanted: node_store.held(node_store.root(), scale, wanted)


def _weights() -> Callable[..., Any]:
    return lambda key, seed, record: node_store.find_weights(node_store.root(), key, seed, record)


def _running() -> Callable[..., Any]:
    return lambda: node_store.running(node_store.root())
