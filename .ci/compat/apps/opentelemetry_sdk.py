"""tasks and agents: opentelemetry-sdk."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(spans))


def use():
    before = len(spans.get_finished_spans())
    with provider.get_tracer("x").start_as_current_span("request"):
        pass
    assert provider.force_flush(2000)
    assert len(spans.get_finished_spans()) > before
