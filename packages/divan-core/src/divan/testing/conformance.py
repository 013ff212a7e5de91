"""Internal: `Conformance`: every area of the suite in one class."""

from __future__ import annotations

from divan.testing.checks.bulk import Bulk
from divan.testing.checks.concurrency import Threads
from divan.testing.checks.crud import Crud, Privacy
from divan.testing.checks.documents import BadDocuments, GoodDocuments
from divan.testing.checks.errors import Errors, Life
from divan.testing.checks.field_types import FieldTypes
from divan.testing.checks.id_field import IdField
from divan.testing.checks.ids import Ids
from divan.testing.checks.indexes import Indexes
from divan.testing.checks.network import Network
from divan.testing.checks.numbers import Numbers
from divan.testing.checks.queries import GeneratedQueries, QueryMeaning
from divan.testing.checks.random_calls import RandomCalls
from divan.testing.checks.reading import Reading
from divan.testing.checks.revisions import Revisions
from divan.testing.checks.secrets import Secrets
from divan.testing.checks.text import Text
from divan.testing.checks.updates import Increments, Removal, Update


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
    IdField,
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
