"""Divan's driver for Redis: ``pip install divan-redis``, then ``divan.open("redis://localhost/guests")``."""

from divan_redis.backend import RedisBackend

__all__ = ["RedisBackend"]
