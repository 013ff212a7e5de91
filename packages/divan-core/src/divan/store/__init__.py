"""The Store: one API that answers the same on every backend; import it from `divan`."""

from divan.store.pages import Page
from divan.store.store import Store
from divan.store.watching import Watch

__all__ = ["Page", "Store", "Watch"]
