"""crypto: argon2-cffi."""

from argon2 import PasswordHasher


def use():
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    assert hasher.verify(hasher.hash("x"), "x")
