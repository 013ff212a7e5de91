"""Calls become spans and durations; values, ids and credentials do not."""

import sqlite3

import divan
import pytest
from divan.otel import DivanInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode


class Recorded:
    """What an application's exporters receive."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader])

    @property
    def spans(self):
        return self.exporter.get_finished_spans()


@pytest.fixture
def recorded():
    recorded = Recorded()
    instrumentor = DivanInstrumentor()
    instrumentor.instrument(tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)
    yield recorded
    instrumentor.uninstrument()


def test_each_call_is_a_client_span_by_the_conventions(recorded):
    with divan.open("memory://guests") as store:
        store.put("ada", {"name": "Ada"})
        store.create_many([{}, {}])
    put, create_many = recorded.spans
    assert put.name == "put guests"
    assert put.kind is SpanKind.CLIENT
    assert dict(put.attributes) == {
        "db.system.name": "memory",
        "db.operation.name": "put",
        "db.namespace": "guests",
    }
    assert create_many.attributes["db.operation.batch.size"] == 2


def test_a_span_of_a_query_lasts_until_its_results_are_used_up(recorded):
    with divan.open("memory://") as store:
        store.create({"n": 1})
        results = store.find()
        next(results)
        assert [span.attributes["db.operation.name"] for span in recorded.spans] == ["create"]
        assert list(results) == []
        assert [span.attributes["db.operation.name"] for span in recorded.spans] == ["create", "find"]


def _operations(recorded):
    return [span.attributes["db.operation.name"] for span in recorded.spans]


@pytest.mark.parametrize("start", [iter, lambda store: store.find(), lambda store: store.ids()])
def test_a_span_of_a_query_ends_with_the_store(recorded, start):
    with divan.open("memory://") as store:
        store.create_many([{}, {}])
        results = start(store)
        next(results)
    assert len(_operations(recorded)) == 2
    with pytest.raises(divan.StoreClosed):
        next(results)
    assert len(_operations(recorded)) == 2


def test_a_span_of_a_query_ends_with_the_error_that_ends_its_results(recorded, tmp_path):
    with divan.open(f"sqlite:///{tmp_path}/deep.db") as store:
        store.create({"a": 1})
        connection = sqlite3.connect(f"{tmp_path}/deep.db")
        connection.execute("DROP TABLE documents")
        connection.commit()
        connection.close()
        results = store.find()
        with pytest.raises(divan.StoreError):
            next(results)
        assert _operations(recorded)[-1] == "find"
        assert recorded.spans[-1].attributes["error.type"] == "StoreError"
        assert list(results) == []


def test_a_document_that_cannot_be_read_does_not_end_the_span(recorded):
    with divan.open("memory://", schema={"day": "DateField"}) as store:
        store.backend.create({"day": "no day"}, document_id="bad")
        results = store.find()
        with pytest.raises(divan.InvalidDocument, match="'bad'") as caught:
            next(results)
        assert caught.value.document_id == "bad"
        assert _operations(recorded) == []
        assert list(results) == []
        assert _operations(recorded) == ["find"]


def test_a_failed_call_has_its_error_type_and_no_message(recorded):
    with divan.open("memory://") as store, pytest.raises(divan.DocumentNotFound):
        store.get("the-secret-id")
    (span,) = recorded.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "DocumentNotFound"
    assert "the-secret-id" not in span.to_json()


def test_durations_are_recorded_in_seconds(recorded):
    with divan.open("memory://") as store:
        store.count()
    (resource,) = recorded.reader.get_metrics_data().resource_metrics
    (metric,) = resource.scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    (point,) = metric.data.data_points
    assert point.count == 1
    assert point.attributes["db.operation.name"] == "count"


def test_values_filters_and_ids_are_not_recorded(recorded):
    with divan.open("memory://") as store:
        store.create({"name": "confidential"}, id="private-id")
        list(store.find({"name": "confidential"}))
    shown = "".join(span.to_json() for span in recorded.spans)
    assert "confidential" not in shown
    assert "private-id" not in shown


def test_stores_opened_after_uninstrument_are_not_traced():
    recorded = Recorded()
    instrumentor = DivanInstrumentor()
    instrumentor.instrument(tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)
    instrumentor.uninstrument()
    with divan.open("memory://") as store:
        store.count()
    assert recorded.spans == ()
