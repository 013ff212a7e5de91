"""OpenTelemetry: each call of a Store as a span and a duration, by the database semantic conventions.

    from divan.otel import DivanInstrumentor
    DivanInstrumentor().instrument()

or ``opentelemetry-instrument python app.py``, which finds it by itself. Needs ``divan-core[otel]``. Neither values, nor
filters, nor credentials, nor ids are recorded.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, Final
from weakref import WeakKeyDictionary

try:
    from opentelemetry import metrics, trace
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # not re-exported
    from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
    from opentelemetry.semconv.metrics.db_metrics import DB_CLIENT_OPERATION_DURATION
except ImportError as error:
    raise ImportError("divan.otel needs OpenTelemetry: pip install 'divan-core[otel]'", name=error.name) from error

from divan import plugins
from divan.hookspecs import hookimpl
from divan.store.tracing import Call

_SYSTEMS: Final = {"mongo": "mongodb"}
"""Backend name → `db.system.name`, where the convention's name is another one."""


class DivanInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Turns the calls of every Store that is opened from now on into spans and metrics.

    `instrument` takes ``tracer_provider`` and ``meter_provider``; the global ones are used otherwise.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        tracer = trace.get_tracer("divan", tracer_provider=kwargs.get("tracer_provider"))
        meter = metrics.get_meter("divan", meter_provider=kwargs.get("meter_provider"))
        self._plugin = Tracing(tracer, meter)
        plugins.add(self._plugin)

    def _uninstrument(self, **kwargs: Any) -> None:
        plugins.discard(self._plugin)


class Tracing:
    """The plugin that records.

    Args:
        tracer: Makes the spans.
        meter: Makes the histogram of durations, in seconds.
    """

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._durations = meter.create_histogram(
            DB_CLIENT_OPERATION_DURATION, unit="s", description="Duration of database client operations."
        )
        self._running: WeakKeyDictionary[Call, tuple[trace.Span, dict[str, Any], float]] = WeakKeyDictionary()

    @hookimpl
    def divan_call_started(self, call: Call) -> None:
        attributes = _attributes(call)
        span = self._tracer.start_span(
            f"{call.operation} {call.store.backend.database}".strip(),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        if call.batch_size is not None and call.batch_size > 1:
            span.set_attribute(db_attributes.DB_OPERATION_BATCH_SIZE, call.batch_size)
        self._running[call] = (span, attributes, time.perf_counter())

    @hookimpl
    def divan_call_ended(self, call: Call, error: BaseException | None) -> None:
        span, attributes, started = self._running.pop(call)
        seconds = time.perf_counter() - started
        if error is not None:
            kind = type(error).__name__
            attributes = {**attributes, error_attributes.ERROR_TYPE: kind}
            span.set_attribute(error_attributes.ERROR_TYPE, kind)
            # Not the message: it may name an id or a value.
            span.set_status(trace.Status(trace.StatusCode.ERROR, kind))
        span.end()
        self._durations.record(seconds, attributes)


def _attributes(call: Call) -> dict[str, Any]:
    store = call.store
    backend = store.backend
    attributes: dict[str, Any] = {
        db_attributes.DB_SYSTEM_NAME: _SYSTEMS.get(store.name, store.name),
        db_attributes.DB_OPERATION_NAME: call.operation,
        db_attributes.DB_NAMESPACE: backend.database,
    }
    if backend.default_port and "," not in backend.host:
        attributes[server_attributes.SERVER_ADDRESS] = backend.host
        attributes[server_attributes.SERVER_PORT] = backend.port
    return attributes
