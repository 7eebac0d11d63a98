"""The connection to the broker."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class BrokerSettings(Section):
    """The connection to the broker."""

    broker_url: str | list[str] | None = option(
        None,
        "Address of the broker, or several of which one is used at a time; the project's embedded file if unset.",
        kind=kinds.addresses,
        old="BROKER_URL",
    )
    broker_read_url: str | list[str] | None = option(
        None,
        "Address from which workers take tasks, where it is not `broker_url`.",
        kind=kinds.addresses,
        old="BROKER_READ_URL",
    )
    broker_write_url: str | list[str] | None = option(
        None,
        "Address to which tasks are published, where it is not `broker_url`.",
        kind=kinds.addresses,
        old="BROKER_WRITE_URL",
    )
    broker_transport: str | None = option(
        None, "Scheme of an address that is given in parts (`broker_host` and others).", old="BROKER_TRANSPORT"
    )
    broker_host: str | None = option(
        None, "Host name of an address given in parts; used only without `broker_url`.", old="BROKER_HOST"
    )
    broker_port: int | None = option(
        None, "Port of an address given in parts.", minimum=1, maximum=65535, old="BROKER_PORT"
    )
    broker_user: str | None = option(None, "User name of an address given in parts.", old="BROKER_USER")
    broker_password: str | None = option(None, "Password of an address given in parts.", old="BROKER_PASSWORD")
    broker_vhost: str | None = option(
        None, "Virtual host or database of an address given in parts.", old="BROKER_VHOST"
    )
    broker_transport_options: dict[str, Any] = option(
        {},
        "Options of the broker's driver, such as `global_keyprefix` or `priority_steps` on Redis.",
        old="BROKER_TRANSPORT_OPTIONS",
    )
    broker_connection_timeout: float | None = option(
        4,
        "How long opening a connection to the broker may take, at most half of what is left to the call that needs it; "
        "0, None and over 4 seconds count as 4.",
        unit="seconds",
        minimum=0,
        old="BROKER_CONNECTION_TIMEOUT",
    )
    broker_connection_retry: bool = option(
        True,
        "Whether a worker reconnects after it lost the broker.",
        unused="a worker that lost the broker always reconnects, and tries without end",
        old="BROKER_CONNECTION_RETRY",
    )
    broker_connection_retry_on_startup: bool | None = option(
        None,
        "Whether a worker keeps trying if the broker is away at its start; as `broker_connection_retry` if unset.",
        unused="a worker waits for a broker that is away, also at its start",
        old="BROKER_CONNECTION_RETRY_ON_STARTUP",
    )
    broker_connection_max_retries: int | None = option(
        100,
        "How often a worker tries to connect before it gives up; None or 0 never gives up.",
        minimum=0,
        unused="a worker that lost the broker always reconnects, and tries without end",
        old="BROKER_CONNECTION_MAX_RETRIES",
    )
    broker_channel_error_retry: bool = option(
        False,
        "Whether a worker reconnects after an error of its channel, not only of its connection.",
        unused="a worker begins a new session after every error of the broker, of whatever kind; only an address or an "
        "option that cannot be used ends it",
        old="BROKER_CHANNEL_ERROR_RETRY",
    )
    broker_failover_strategy: Any = option(
        None,
        "In which order the addresses of `broker_url` are tried: `round-robin`, `shuffle` or a function.",
        old="BROKER_FAILOVER_STRATEGY",
    )
    broker_heartbeat: float | None = option(
        120,
        "Interval of the heartbeats that AMQP connections exchange; None or 0 turns them off.",
        unit="seconds",
        minimum=0,
        old="BROKER_HEARTBEAT",
    )
    broker_heartbeat_checkrate: float = option(
        3.0,
        "How often in each interval of `broker_heartbeat` the connection is looked at.",
        minimum=0,
        unused="signs of life go out three times in each interval, and a worker asks for one every 5 s",
        old="BROKER_HEARTBEAT_CHECKRATE",
    )
    broker_login_method: str | None = option(
        None, "Login method of an AMQP server, such as PLAIN, AMQPLAIN or EXTERNAL.", old="BROKER_LOGIN_METHOD"
    )
    broker_native_delayed_delivery_queue_type: str = option(
        "quorum",
        "Type of the queues on RabbitMQ in which delayed tasks wait.",
        choices=("classic", "quorum"),
        old="BROKER_NATIVE_DELAYED_DELIVERY_QUEUE_TYPE",
    )
    broker_pool_limit: int | None = option(
        10,
        "How many connections a publishing process keeps open at most; None or 0 keeps none.",
        minimum=0,
        unused="each driver keeps the connections that it needs, and nobody waits for a free one",
        old="BROKER_POOL_LIMIT",
    )
    broker_pool_acquire_timeout: float | None = option(
        None,
        "How long a publisher waits for a free connection; unset waits without end.",
        unit="seconds",
        minimum=0,
        unused="nobody waits for a free connection; `broker_publish_timeout` bounds a publish",
        old="BROKER_POOL_ACQUIRE_TIMEOUT",
    )
    broker_use_ssl: bool | dict[str, Any] | None = option(
        False,
        "Whether to encrypt the connection to the broker, or a dict with certificate options.",
        kind=kinds.switch_or_mapping,
        old="BROKER_USE_SSL",
    )
