"""database: alembic."""

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Integer, create_engine, text


def use():
    with create_engine("sqlite://").connect() as connection:
        Operations(MigrationContext.configure(connection)).create_table("item", Column("id", Integer, primary_key=True))
        assert connection.execute(text("select count(*) from item")).scalar() == 0
