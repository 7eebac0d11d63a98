"""Three RabbitMQ nodes on one host that are a cluster, any of which can be killed, frozen or cut off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.rabbitmq_programs import Programs
from tests.servers.rabbitmq_servers import RabbitNames, RabbitServer, binary

SETTINGS = {"cluster_partition_handling": "pause_minority"}
"""A node that sees no majority serves nobody until it does again."""

RUNNING = (
    "case erlang:function_exported(rabbit_nodes, list_running, 0) of"
    " true -> rabbit_nodes:list_running(); false -> rabbit_nodes:all_running() end"
)
"""The nodes that a node sees running, itself too; the second name is RabbitMQ 3.10's."""


class RabbitCluster:
    """Three nodes, which answer after some twenty seconds.

    Args:
        programs: where RabbitMQ is installed.
        directory: of their own.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        self._names = RabbitNames(programs, directory)
        self.nodes: list[RabbitServer] = []
        try:
            for name in ("one", "two", "three"):
                place = directory / name
                node = RabbitServer(programs, place, SETTINGS, names=self._names, name=name, waits=False)
                self.nodes.append(node)
            for node in self.nodes:
                node.wait()
                while not node.ask("init:get_status()").startswith("{started,"):
                    time.sleep(0.05)  # or its runtime ends, as one whose boot failed, when it leaves to join
            for node in self.nodes[1:]:
                self._join(node)
            self.wait()
        except BaseException:
            self.stop()
            raise

    def _join(self, node: RabbitServer) -> None:
        """Let a node forget what it is and become one of the first one's."""
        node.ask("ok = rabbit:stop()")
        first = f"'{self.nodes[0].node}', disc"
        node.ask(
            "ok = case code:which(rabbit_db_cluster) of"
            f" non_existing -> rabbit_mnesia:join_cluster({first}); _ -> rabbit_db_cluster:join({first}) end"
        )
        node.ask("ok = rabbit:start()")

    def wait(self, patience: float = 60.0) -> None:
        """Until every node that runs sees every other that runs."""
        running = [node for node in self.nodes if node.process is not None]
        end = time.monotonic() + patience
        for node in running:
            while int(node.ask(f"length({RUNNING})")) < len(running):
                assert time.monotonic() < end, f"{node.node} sees only {node.ask(RUNNING)}"
                time.sleep(0.1)

    @property
    def url(self) -> str:
        """The address of all nodes' first virtual host, the other nodes as alternates."""
        return self.url_of("/")

    def url_of(self, host: str) -> str:
        """The same for a virtual host."""
        return ";".join(node.url_of(host) for node in self.nodes)

    def leader_of(self, host: str, queue: str, patience: float = 30.0) -> RabbitServer:
        """The node that leads a quorum queue, as soon as there is one."""
        asked = next(node for node in self.nodes if node.process is not None)
        leader = (
            f"{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r({binary(host)}, queue, {binary(queue)})),"
            " ra_leaderboard:lookup_leader(element(1, amqqueue:get_pid(Queue)))"
        )
        end = time.monotonic() + patience
        while (told := asked.ask(leader)) == "undefined":
            assert time.monotonic() < end, f"nobody leads {queue}"
            time.sleep(0.05)
        return next(node for node in self.nodes if node.node in told)

    @contextlib.contextmanager
    def cut_off(self, node: RabbitServer) -> Iterator[None]:
        """Part a node from the others; clients still reach it.

        The others no longer share its secret, so that no side can connect to the other again. It is parted from all of
        them in one step: nodes of which some still see each other by way of a third all stop serving.
        """
        others = [each.node for each in self.nodes if each is not node and each.process is not None]
        node.ask(", ".join(f"erlang:set_cookie('{each}', parted)" for each in others))
        node.ask(", ".join(f"erlang:disconnect_node('{each}')" for each in others))
        try:
            yield
        finally:
            node.ask(", ".join(f"erlang:set_cookie('{each}', erlang:get_cookie())" for each in others))

    def stop(self) -> None:
        """End all."""
        for node in self.nodes:
            node.stop()
        self._names.stop()
