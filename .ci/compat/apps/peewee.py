"""database: peewee."""

import peewee


def use():
    database = peewee.SqliteDatabase(":memory:")

    class Item(peewee.Model):
        name = peewee.CharField()

        class Meta:
            pass

    Item._meta.set_database(database)
    with database:
        database.create_tables([Item])
        Item.create(name="a")
        assert [item.name for item in Item.select()] == ["a"]
