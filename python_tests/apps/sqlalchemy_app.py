"""SQLAlchemy on sqlite: its C extensions refuse own-GIL interpreters, the .py beside each does the work."""

import sqlalchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from apps.routes import answer


class Base(DeclarativeBase):
    pass


class Word(Base):
    __tablename__ = "words"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)


def app(environ, start_response):
    with Session(engine) as session:
        session.add(Word(text="word"))
        session.commit()
        count = session.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(Word))
    return answer(start_response, {"count": count, "interpreter": environ["chaussette.interpreter"]})
