"""MongoDB as a Divan backend: ``divan.open("mongo://localhost/guests")``."""

from divan_mongo.backend import MongoBackend
from divan_mongo.values import BSONDate

__all__ = ["BSONDate", "MongoBackend"]
