"""Internal: `Conformance`: every area of the suite in one class."""

from __future__ import annotations

from divan.testing.checks.bulk import Bulk
from divan.testing.checks.classes import Classes
from divan.testing.checks.concurrency import Threads
from divan.testing.checks.crud import Crud, Privacy
from divan.testing.checks.documents import BadDocuments, GoodDocuments
from divan.testing.checks.errors import Errors, Life
from divan.testing.checks.expiry import Expiry
from divan.testing.checks.field_types import FieldTypes
from divan.testing.checks.first import First
from divan.testing.checks.id_field import IdField
from divan.testing.checks.ids import Ids
from divan.testing.checks.indexes import Indexes
from divan.testing.checks.nested import NestedUpdates
from divan.testing.checks.network import Network
from divan.testing.checks.numbers import Numbers
from divan.testing.checks.pages import Pages
from divan.testing.checks.projections import Projections
from divan.testing.checks.puts import Puts
from divan.testing.checks.queries import GeneratedQueries, QueryMeaning
from divan.testing.checks.random_calls import RandomCalls
from divan.testing.checks.reading import Reading
from divan.testing.checks.revisions import Revisions
from divan.testing.checks.secrets import Secrets
from divan.testing.checks.text import Text
from divan.testing.checks.updates import Increments, Removal, Update
from divan.testing.checks.watching import Watching
from divan.testing.checks.where_writes import WhereWrites


# pytest runs the checks of the last base first: so the simplest come first, and what is made of many calls comes last,
# for the first failure to point at what is broken.
class Conformance(
    RandomCalls,
    Expiry,
    Watching,
    NestedUpdates,
    WhereWrites,
    Threads,
    Secrets,
    Network,
    Errors,
    Life,
    Classes,
    FieldTypes,
    Numbers,
    Text,
    GoodDocuments,
    BadDocuments,
    IdField,
    Ids,
    Indexes,
    GeneratedQueries,
    Pages,
    First,
    QueryMeaning,
    Puts,
    Bulk,
    Projections,
    Reading,
    Revisions,
    Increments,
    Removal,
    Update,
    Privacy,
    Crud,
):
    """All checks, the simplest first; subclass it as ``TestAcme`` and give it a ``url``."""
