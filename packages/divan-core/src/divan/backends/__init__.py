"""The backend contract, and the two backends that need no server."""
