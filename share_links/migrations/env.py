"""How Alembic runs our migrations: on the connection that `hub_groups.migrate` hands over."""

from alembic import context

from share_links.schema import metadata
from share_links.store import LINKS

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=LINKS.table,
    render_as_batch=True,  # SQLite can't alter most of a table in place
)
with context.begin_transaction():
    context.run_migrations()
