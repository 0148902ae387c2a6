"""Dagster's PostgreSQL storage with connections that are kept between two queries.

Stock Dagster keeps them in its web server only. Elsewhere each event of a run opens a connection of its own, some 150
in a month, so that many instances in one process hold none. A kept one is closed with its instance here.
TRIPTYCH_AS_SHIPPED=dagster.storage leaves the stock storage.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config


class PooledPostgresStorage(DagsterPostgresStorage):
    """The storage of runs, events and schedules, each with a pool of connections."""

    def __init__(self, postgres_url: str, *args: Any, **options: Any) -> None:
        super().__init__(postgres_url, *args, **options)
        for each in (self._run_storage, self._event_log_storage, self._schedule_storage):
            # As in the web server; a connection that PostgreSQL's restart has closed is replaced unnoticed.
            each._engine = create_pg_engine(
                postgres_url,
                options.get("token_provider"),
                isolation_level="AUTOCOMMIT",
                pool_size=1,
                max_overflow=20,
                pool_recycle=300,
                pool_pre_ping=True,
            )
            each.dispose = closing(each)  # type: ignore[method-assign]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Return the storage that dagster.yaml asks for."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(cast(PostgresStorageConfig, config_value)),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )


def closing(storage: Any) -> Callable[[], None]:
    """Return a storage's `dispose` that closes its pool as well."""
    stock = storage.dispose

    def dispose() -> None:
        stock()
        storage._engine.dispose()

    return dispose
