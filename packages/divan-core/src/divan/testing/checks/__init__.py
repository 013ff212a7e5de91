"""Internal: the checks of the conformance suite, one module an area; `divan.testing` gives their classes."""
