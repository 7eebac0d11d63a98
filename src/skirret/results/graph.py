"""A directed graph of results: what ``AsyncResult.graph`` shows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from graphlib import TopologicalSorter
from typing import Generic, TextIO, TypeVar

N = TypeVar("N", bound=Hashable)


class DependencyGraph(Generic[N]):
    """Nodes and what each of them leads to. Iterating gives the nodes; ``graph[node]`` its successors.

    Args:
        pairs: (node, successors) to begin with.
    """

    def __init__(self, pairs: Iterable[tuple[N, Iterable[N]]] = ()) -> None:
        self.adjacent: dict[N, list[N]] = {}
        self.update(pairs)

    def add_arc(self, node: N) -> None:
        """Add a node."""
        self.adjacent.setdefault(node, [])

    def add_edge(self, node: N, successor: N) -> None:
        """Let `node` lead to `successor`.

        Raises:
            KeyError: `node` is not in the graph.
        """
        self.adjacent[node].append(successor)

    def update(self, pairs: Iterable[tuple[N, Iterable[N]]]) -> None:
        """Add (node, successors) pairs."""
        known = [(node, list(successors)) for node, successors in pairs]
        for node, _ in known:
            self.add_arc(node)
        for node, successors in known:
            for successor in successors:
                self.add_edge(node, successor)

    def connect(self, graph: DependencyGraph[N]) -> None:
        """Add the nodes of another graph."""
        self.adjacent.update(graph.adjacent)

    def edges(self) -> Iterator[N]:
        """The nodes that lead to others."""
        return (node for node, successors in self.adjacent.items() if successors)

    def topsort(self) -> list[N]:
        """The nodes, each after all that it leads to.

        Raises:
            graphlib.CycleError: the graph goes in a circle.
        """
        return list(TopologicalSorter(self.adjacent).static_order())

    def valency_of(self, node: N) -> int:
        """How many edges can be reached from `node`, counted once for each way that leads there."""
        successors = self.adjacent.get(node, [])
        return len(successors) + sum(self.valency_of(successor) for successor in successors)

    def to_dot(self, file: TextIO) -> None:
        """Write the graph in Graphviz' language."""
        file.write("digraph results {\n")
        for node, successors in self.adjacent.items():
            file.write(f"  {_quoted(node)};\n")
            file.writelines(f"  {_quoted(node)} -> {_quoted(successor)};\n" for successor in successors)
        file.write("}\n")

    def items(self) -> Iterable[tuple[N, list[N]]]:
        """(node, successors) pairs."""
        return self.adjacent.items()

    def __getitem__(self, node: N) -> list[N]:
        return self.adjacent[node]

    def __contains__(self, node: object) -> bool:
        return node in self.adjacent

    def __iter__(self) -> Iterator[N]:
        return iter(self.adjacent)

    def __len__(self) -> int:
        return len(self.adjacent)

    def __repr__(self) -> str:
        return "\n".join(
            f"{node}" + (f" -> {', '.join(map(str, successors))}" if successors else "")
            for node, successors in self.adjacent.items()
        )


def _quoted(node: object) -> str:
    return '"' + str(node).replace("\\", "\\\\").replace('"', '\\"') + '"'
