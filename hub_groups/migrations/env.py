"""How Alembic runs our migrations: on the connection that `migrate.py` hands over."""

from alembic import context

from hub_groups.migrate import GROUPS
from hub_groups.scim_tables import scim_user

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=scim_user.metadata,
    version_table=GROUPS.table,
    render_as_batch=True,  # SQLite can't alter most of a table in place
)
with context.begin_transaction():
    context.run_migrations()
