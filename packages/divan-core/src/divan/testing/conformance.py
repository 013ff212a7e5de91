"""`Conformance`: every area of the suite in one class."""

from __future__ import annotations

from divan.testing.bulk import Bulk
from divan.testing.concurrency import Threads
from divan.testing.crud import Crud, Privacy
from divan.testing.documents import BadDocuments, GoodDocuments
from divan.testing.errors import Errors, Life
from divan.testing.field_types import FieldTypes
from divan.testing.ids import Ids
from divan.testing.indexes import Indexes
from divan.testing.network import Network
from divan.testing.numbers import Numbers
from divan.testing.queries import GeneratedQueries, QueryMeaning
from divan.testing.random_calls import RandomCalls
from divan.testing.reading import Reading
from divan.testing.revisions import Revisions
from divan.testing.secrets import Secrets
from divan.testing.text import Text
from divan.testing.updates import Increments, Removal, Update


class Conformance(
    Crud,
    Privacy,
    Update,
    Removal,
    Increments,
    Revisions,
    QueryMeaning,
    GeneratedQueries,
    Reading,
    Indexes,
    Bulk,
    Ids,
    BadDocuments,
    GoodDocuments,
    Text,
    Numbers,
    FieldTypes,
    Life,
    Errors,
    Network,
    Secrets,
    Threads,
    RandomCalls,
):
    """All checks; subclass it as ``TestAcme`` and give it a ``url``."""
