"""Options of single result stores: Redis, SQL, MongoDB and memcached."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class StoreSettings(Section):
    """Options of single result stores: Redis, SQL, MongoDB and memcached."""

    redis_host: str | None = option(
        None,
        "Host of the Redis result store, for an address that does not say it.",
        unused="the address in `result_backend` says it",
        old="CELERY_REDIS_HOST",
    )
    redis_port: int | None = option(
        None,
        "Port of the Redis result store, for an address that does not say it.",
        minimum=1,
        maximum=65535,
        unused="the address in `result_backend` says it",
        old="CELERY_REDIS_PORT",
    )
    redis_db: int | None = option(
        None,
        "Database number of the Redis result store, for an address that does not say it.",
        minimum=0,
        unused="the address in `result_backend` says it",
        old="CELERY_REDIS_DB",
    )
    redis_username: str | None = option(
        None, "User name of the Redis result store, for an address that does not say it.", old="CELERY_REDIS_USERNAME"
    )
    redis_password: str | None = option(
        None, "Password of the Redis result store, for an address that does not say it.", old="CELERY_REDIS_PASSWORD"
    )
    redis_max_connections: int | None = option(
        None,
        "How many connections to the Redis result store a process opens at most.",
        minimum=0,
        unused="connections are opened as needed, and only a few are kept",
        old="CELERY_REDIS_MAX_CONNECTIONS",
    )
    redis_socket_timeout: float | None = option(
        120.0,
        "How long an answer of the Redis result store may take; over 4 seconds counts as 4.",
        unit="seconds",
        minimum=0,
        old="CELERY_REDIS_SOCKET_TIMEOUT",
    )
    redis_socket_connect_timeout: float | None = option(
        None,
        "How long connecting to the Redis result store may take, at most half of what is left to the call that needs "
        "it; unset and over 4 seconds count as 4.",
        unit="seconds",
        minimum=0,
        old="CELERY_REDIS_SOCKET_CONNECT_TIMEOUT",
    )
    redis_socket_keepalive: bool = option(
        False,
        "Whether connections to the Redis result store are probed by TCP keep-alive.",
        old="CELERY_REDIS_SOCKET_KEEPALIVE",
    )
    redis_retry_on_timeout: bool = option(
        False,
        "Whether a read of the Redis result store that took too long is repeated.",
        unused="`redis_socket_timeout` is all the time that a call has, and what takes longer is raised; a worker "
        "keeps what it could not store, and tries again",
        old="CELERY_REDIS_RETRY_ON_TIMEOUT",
    )
    redis_backend_use_ssl: bool | dict[str, Any] | None = option(
        None,
        "Whether to encrypt connections to the Redis result store, or a dict with certificate options.",
        kind=kinds.switch_or_mapping,
        old="CELERY_REDIS_BACKEND_USE_SSL",
    )
    redis_backend_credential_provider: Any = option(
        None,
        "Object, class or path that gives user name and password of the Redis result store.",
        kind=kinds.anything,
        secret=True,
        unused="user name and password stand in the address, or in `redis_username` and `redis_password`",
    )
    redis_backend_health_check_interval: float | None = option(
        None,
        "After how long of silence a connection to the Redis result store is tested before use.",
        unit="seconds",
        minimum=0,
        unused="a connection that was silent is looked at before use anyway",
    )
    redis_client_name: str | None = option(None, "Name that connections to the Redis result store show in CLIENT LIST.")
    database_url: str | None = option(
        None, "Address of the SQL result store, where `result_backend` is just `database`.", old="CELERY_RESULT_DBURI"
    )
    database_engine_options: dict[str, Any] = option(
        {"pool_pre_ping": True, "pool_recycle": 3600},
        "Options of the connections to the SQL result store.",
        old="CELERY_RESULT_ENGINE_OPTIONS",
    )
    database_engine_callback: Any = option(
        None,
        "Function that is handed the SQL result store's engine before its first use.",
        old="DATABASE_ENGINE_CALLBACK",
    )
    database_short_lived_sessions: bool = option(
        False,
        "Whether each use of the SQL result store opens a connection of its own.",
        old="CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",
    )
    database_table_schemas: dict[str, Any] | None = option(
        None, "Schemas of the SQL result store's tables: `task` and `group`.", old="DATABASE_TABLE_SCHEMAS"
    )
    database_table_names: dict[str, Any] | None = option(
        None, "Names of the SQL result store's tables: `task` and `group`.", old="CELERY_RESULT_DB_TABLENAMES"
    )
    database_create_tables_at_setup: bool = option(
        True,
        "Whether the SQL result store's tables are made at start rather than at first use.",
        old="DATABASE_CREATE_TABLES_AT_SETUP",
    )
    mongodb_backend_settings: dict[str, Any] | None = option(
        None,
        "Options of the MongoDB result store: database, collection and client options.",
        old="CELERY_MONGODB_BACKEND_SETTINGS",
    )
    cache_backend: str | None = option(
        None,
        "Address of the memcached result store, where `result_backend` is just `cache`.",
        old="CELERY_CACHE_BACKEND",
    )
    cache_backend_options: dict[str, Any] = option(
        {}, "Options of the memcached client.", old="CELERY_CACHE_BACKEND_OPTIONS"
    )
