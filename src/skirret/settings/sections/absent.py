"""Options of result stores that Skirret does not have: accepted, and reported as unused."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option

_CASSANDRA = "Skirret has no Cassandra result store"
_S3 = "Skirret has no S3 result store"
_AZUREBLOCKBLOB = "Skirret has no Azure Block Blob result store"
_GCS = "Skirret has no Google Cloud Storage result store"
_COUCHBASE = "Skirret has no Couchbase result store"
_ARANGODB = "Skirret has no ArangoDB result store"
_COSMOSDBSQL = "Skirret has no Cosmos DB result store"
_ELASTICSEARCH = "Skirret has no Elasticsearch result store"


class AbsentSettings(Section):
    """Options of result stores that Skirret does not have: accepted, and reported as unused."""

    cassandra_servers: tuple[str, ...] | None = option(
        None, "Cassandra: host names of its servers.", old="CASSANDRA_SERVERS", unused=_CASSANDRA
    )
    cassandra_port: Any = option(None, "Cassandra: port of its servers.", old="CASSANDRA_PORT", unused=_CASSANDRA)
    cassandra_keyspace: str | None = option(
        None, "Cassandra: keyspace in which results are kept.", old="CASSANDRA_KEYSPACE", unused=_CASSANDRA
    )
    cassandra_table: str | None = option(
        None, "Cassandra: table in which results are kept.", old="CASSANDRA_TABLE", unused=_CASSANDRA
    )
    cassandra_read_consistency: str | None = option(
        None, "Cassandra: consistency of reads.", old="CASSANDRA_READ_CONSISTENCY", unused=_CASSANDRA
    )
    cassandra_write_consistency: str | None = option(
        None, "Cassandra: consistency of writes.", old="CASSANDRA_WRITE_CONSISTENCY", unused=_CASSANDRA
    )
    cassandra_entry_ttl: float | None = option(
        None, "Cassandra: how long results are kept.", unit="seconds", old="CASSANDRA_ENTRY_TTL", unused=_CASSANDRA
    )
    cassandra_bundle_path: str | None = option(
        None,
        "Cassandra: connect bundle of a hosted database.",
        kind=kinds.path,
        old="CASSANDRA_BUNDLE_PATH",
        unused=_CASSANDRA,
    )
    cassandra_secure_bundle_path: str | None = option(
        None, "Cassandra: connect bundle of a hosted database, by its later name.", kind=kinds.path, unused=_CASSANDRA
    )
    cassandra_auth_provider: str | None = option(
        None, "Cassandra: class that logs in.", old="CASSANDRA_AUTH_PROVIDER", unused=_CASSANDRA
    )
    cassandra_auth_kwargs: Any = option(
        None,
        "Cassandra: arguments of the class that logs in.",
        secret=True,
        old="CASSANDRA_AUTH_KWARGS",
        unused=_CASSANDRA,
    )
    cassandra_options: dict[str, Any] = option(
        {}, "Cassandra: options of the client.", old="CASSANDRA_OPTIONS", unused=_CASSANDRA
    )
    s3_access_key_id: str | None = option(None, "S3: key id.", old="S3_ACCESS_KEY_ID", unused=_S3)
    s3_secret_access_key: str | None = option(None, "S3: secret key.", old="S3_SECRET_ACCESS_KEY", unused=_S3)
    s3_bucket: str | None = option(None, "S3: bucket in which results are kept.", old="S3_BUCKET", unused=_S3)
    s3_base_path: str | None = option(None, "S3: what the names of results begin with.", old="S3_BASE_PATH", unused=_S3)
    s3_endpoint_url: str | None = option(None, "S3: address of a compatible server.", old="S3_ENDPOINT_URL", unused=_S3)
    s3_region: str | None = option(None, "S3: region of the bucket.", old="S3_REGION", unused=_S3)
    azureblockblob_container_name: str = option(
        "celery",
        "Azure Block Blob: container in which results are kept.",
        old="AZUREBLOCKBLOB_CONTAINER_NAME",
        unused=_AZUREBLOCKBLOB,
    )
    azureblockblob_base_path: str = option(
        "",
        "Azure Block Blob: what the names of results begin with.",
        old="AZUREBLOCKBLOB_BASE_PATH",
        unused=_AZUREBLOCKBLOB,
    )
    azureblockblob_retry_initial_backoff_sec: int = option(
        2,
        "Azure Block Blob: first pause before another try.",
        unit="seconds",
        old="AZUREBLOCKBLOB_RETRY_INITIAL_BACKOFF_SEC",
        unused=_AZUREBLOCKBLOB,
    )
    azureblockblob_retry_increment_base: int = option(
        2,
        "Azure Block Blob: how fast the pauses grow.",
        old="AZUREBLOCKBLOB_RETRY_INCREMENT_BASE",
        unused=_AZUREBLOCKBLOB,
    )
    azureblockblob_retry_max_attempts: int = option(
        3, "Azure Block Blob: how often to try.", old="AZUREBLOCKBLOB_RETRY_MAX_ATTEMPTS", unused=_AZUREBLOCKBLOB
    )
    azureblockblob_connection_timeout: int = option(
        20,
        "Azure Block Blob: how long connecting may take.",
        unit="seconds",
        old="AZUREBLOCKBLOB_CONNECTION_TIMEOUT",
        unused=_AZUREBLOCKBLOB,
    )
    azureblockblob_read_timeout: int = option(
        120,
        "Azure Block Blob: how long reading may take.",
        unit="seconds",
        old="AZUREBLOCKBLOB_READ_TIMEOUT",
        unused=_AZUREBLOCKBLOB,
    )
    gcs_bucket: str | None = option(
        None, "Google Cloud Storage: bucket in which results are kept.", old="GCS_BUCKET", unused=_GCS
    )
    gcs_project: str | None = option(
        None, "Google Cloud Storage: project of the bucket.", old="GCS_PROJECT", unused=_GCS
    )
    gcs_base_path: str = option(
        "", "Google Cloud Storage: what the names of results begin with.", old="GCS_BASE_PATH", unused=_GCS
    )
    gcs_ttl: float = option(
        0, "Google Cloud Storage: how long results are kept.", unit="seconds", old="GCS_TTL", unused=_GCS
    )
    couchbase_backend_settings: dict[str, Any] | None = option(
        None, "Couchbase: host, login and bucket.", old="CELERY_COUCHBASE_BACKEND_SETTINGS", unused=_COUCHBASE
    )
    arangodb_backend_settings: dict[str, Any] | None = option(
        None,
        "ArangoDB: host, login, database and collection.",
        old="CELERY_ARANGODB_BACKEND_SETTINGS",
        unused=_ARANGODB,
    )
    cosmosdbsql_database_name: str = option(
        "celerydb",
        "Cosmos DB: database in which results are kept.",
        old="COSMOSDBSQL_DATABASE_NAME",
        unused=_COSMOSDBSQL,
    )
    cosmosdbsql_collection_name: str = option(
        "celerycol",
        "Cosmos DB: collection in which results are kept.",
        old="COSMOSDBSQL_COLLECTION_NAME",
        unused=_COSMOSDBSQL,
    )
    cosmosdbsql_consistency_level: str = option(
        "Session", "Cosmos DB: consistency of reads.", old="COSMOSDBSQL_CONSISTENCY_LEVEL", unused=_COSMOSDBSQL
    )
    cosmosdbsql_max_retry_attempts: int = option(
        9, "Cosmos DB: how often to try.", old="COSMOSDBSQL_MAX_RETRY_ATTEMPTS", unused=_COSMOSDBSQL
    )
    cosmosdbsql_max_retry_wait_time: int = option(
        30, "Cosmos DB: how long to try.", unit="seconds", old="COSMOSDBSQL_MAX_RETRY_WAIT_TIME", unused=_COSMOSDBSQL
    )
    elasticsearch_retry_on_timeout: bool | None = option(
        None,
        "Elasticsearch: whether to try again after a timeout.",
        old="CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT",
        unused=_ELASTICSEARCH,
    )
    elasticsearch_max_retries: int | None = option(
        None, "Elasticsearch: how often to try.", old="CELERY_ELASTICSEARCH_MAX_RETRIES", unused=_ELASTICSEARCH
    )
    elasticsearch_timeout: float | None = option(
        None,
        "Elasticsearch: how long an answer may take.",
        unit="seconds",
        old="CELERY_ELASTICSEARCH_TIMEOUT",
        unused=_ELASTICSEARCH,
    )
    elasticsearch_save_meta_as_text: bool = option(
        True,
        "Elasticsearch: whether results are kept as text rather than as fields.",
        old="CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT",
        unused=_ELASTICSEARCH,
    )
