"""One module a store or a subject; each has a `ROWS` list, which is all that the runner asks of it."""
