"""The Store: one API that answers the same on every backend; import it from `divan`."""

from divan.store.pages import Page
from divan.store.store import Store

__all__ = ["Page", "Store"]
