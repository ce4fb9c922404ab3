"""Alembic's entry: the connection comes from flipsync.store.bootstrap, never from a file."""

from alembic import context

from flipsync.store.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
