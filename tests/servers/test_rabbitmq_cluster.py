"""Three RabbitMQ nodes, of 3.10 and of 4, keep what they confirmed while one is killed or cut off."""

from __future__ import annotations

import contextlib
import time

import amqp
import pytest
from amqp.exceptions import AMQPError

from tests.servers.rabbitmq_cluster import RabbitCluster
from tests.servers.rabbitmq_programs import rabbitmq, rabbitmq4
from tests.servers.rabbitmq_servers import RabbitServer

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]  # the first run installs another Debian


@contextlib.contextmanager
def channel_of(node, host):
    connection = amqp.Connection(f"127.0.0.1:{node.port}", virtual_host=host, confirm_publish=True)
    try:
        connection.connect()
        yield connection.channel()
    finally:
        connection.collect()


def get(node, host, seconds=30.0):
    """What a queue has, as soon as it has a leader."""
    end = time.monotonic() + seconds
    while True:
        try:
            with channel_of(node, host) as channel:
                return channel.basic_get("kept", no_ack=True).body
        except (AMQPError, OSError):
            assert time.monotonic() < end
            time.sleep(0.1)


def put(node, host, text):
    with channel_of(node, host) as channel:
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.basic_publish(amqp.Message(text, delivery_mode=2), routing_key="kept")


@pytest.mark.parametrize("programs", [rabbitmq, rabbitmq4])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_keeps_what_it_confirmed_when_the_leader_is_killed_or_cut_off(programs, tmp_path, request):
    cluster = RabbitCluster(programs(), tmp_path)
    request.addfinalizer(cluster.stop)
    host = cluster.nodes[0].add_host()
    put(cluster.nodes[1], host, "first")
    leader = cluster.leader_of(host, "kept")
    leader.kill()
    other = next(node for node in cluster.nodes if node is not leader)
    assert get(other, host) == "first"
    leader.start()
    cluster.wait()
    put(other, host, "second")
    leader = cluster.leader_of(host, "kept")
    with cluster.cut_off(leader):
        assert get(next(node for node in cluster.nodes if node is not leader), host) == "second"
        end = time.monotonic() + 30.0
        while leader.ask("rabbit:is_running()") == "true":
            assert time.monotonic() < end, "a node without a majority serves nobody"
            time.sleep(0.1)
    cluster.wait()


def test_rabbitmq_4_runs_beside_and_keeps_what_it_confirmed(tmp_path, request):
    server = RabbitServer(rabbitmq4(), tmp_path)
    request.addfinalizer(server.stop)
    assert server.ask("rabbit_misc:version()").startswith('"4.')
    host = server.add_host()
    put(server, host, "kept")
    server.restart()
    assert get(server, host) == "kept"
