"""Internal: the check that runs the state machine: random sequences of calls answer as the in-memory model answers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from divan import Store
from divan.testing.base import StoreChecks
from divan.testing.machine import state_machine

STEPS = 20
"""How many calls a sequence makes at most."""


class RandomCalls(StoreChecks):
    """Random calls, compared with the model."""

    def test_random_calls_answer_as_the_model_answers(self, request: pytest.FixtureRequest, store: Store) -> None:
        wanted = request.config.getoption("--divan-sequences", default=None)
        # Drawn alike at every run, unless a number is asked for: then chance has its way.
        # A shrunk example is easier to read, but takes minutes where each call is a round trip.
        shrinks = wanted or self.backend_class.default_port == 0
        profile = settings(
            phases=set(Phase) if shrinks else {Phase.explicit, Phase.generate},
            max_examples=wanted or self.sequences,
            stateful_step_count=STEPS,
            derandomize=wanted is None,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(state_machine(lambda: nullcontext(store), self.limits), settings=profile)
