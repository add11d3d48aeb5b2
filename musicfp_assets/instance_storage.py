"""Dagster's own storage, chosen by the same settings as everything else; `dagster.yaml` names this class.

SQLite under MUSICFP_HOME by default, PostgreSQL when MUSICFP_DAGSTER_DATABASE_URL is set. Because no environment
variable needs to exist, `dagster dev` at the project's root and `musicfp up` see the same runs.
"""

from typing import Any

from dagster._config import UserConfigSchema
from dagster._core.storage.base_storage import DagsterStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy import make_url

from musicfp.settings import Settings
from musicfp_assets.sqlite_storage import KeptOpenSqliteStorage


class SettingsStorage(DagsterStorage, ConfigurableClass):
    """Makes the storage that settings name. Has no configuration of its own and no instances."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return an empty schema."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DagsterStorage[Any]:  # type: ignore[override]  # noqa: ARG003
        """Return SQLite or PostgreSQL storage."""
        settings = Settings.from_env()
        if settings.dagster_database_url is None:
            base = settings.home / "dagster" / "storage"
            base.mkdir(parents=True, exist_ok=True)
            return KeptOpenSqliteStorage(str(base), inst_data=inst_data)
        # A driver that SQLite users need not load.
        from musicfp_assets.postgres_storage import KeptOpenPostgresStorage  # noqa: PLC0415

        return KeptOpenPostgresStorage(psycopg2_url(settings.dagster_database_url), inst_data)


def psycopg2_url(url: str) -> str:
    """Return a PostgreSQL URL with the driver that dagster-postgres uses, whichever the setting named."""
    return make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
