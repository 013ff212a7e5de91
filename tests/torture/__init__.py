"""Torture: many processes and threads write to one store while processes are killed and the network flaps.

Every call is written down before it is made and when it has ended, outside the store. At the end the store is held against
what was written down: nothing acknowledged may be missing or doubled, nothing refused may be there, no two writes may
follow one revision. ``nox -s torture -- --seconds 60 --seed 1`` runs it.
"""
