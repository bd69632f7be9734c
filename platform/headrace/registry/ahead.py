"""What any use of MLflow's SQLite store needs, imported and built once before steps are forked.

The store's modules and its table mappings take two seconds; a step that is forked from a
process that has them pays nothing. No connection is opened: one must not be shared by forks.
"""

from __future__ import annotations

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from sqlalchemy.orm import configure_mappers

configure_mappers()
