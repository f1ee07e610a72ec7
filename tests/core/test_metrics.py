"""Metrics have names that say what they count, and labels of few values."""

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram

from huleedu.core import metrics

ALL = {
    name: metric
    for name, metric in vars(metrics).items()
    if isinstance(metric, Counter | Gauge | Histogram)
}
# What a label may say.  Ids, names, paths and messages have no end of values: never labels.
LABELS = {
    "event", "group", "language", "method", "module", "operation", "outcome", "reason", "route",
    "status", "topic",
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_metric_is_named_by_the_fields_rules(name: str) -> None:
    """huleedu_<module>_<noun>_<unit>, and one name that other systems already know."""
    described = next(iter(ALL[name].describe()))

    assert described.name == "batch_operations" or re.fullmatch(
        r"huleedu_[a-z]+(_[a-z]+)+", described.name
    )
    assert described.documentation.endswith(".")
    if isinstance(ALL[name], Histogram):
        assert described.name.endswith("_seconds")


@pytest.mark.parametrize("name", ALL)
def test_a_label_never_carries_an_id(name: str) -> None:
    """Labels come from a short list; a new one is a decision."""
    assert set(ALL[name]._labelnames) <= LABELS


def test_the_metric_of_registrations_has_the_labels_of_the_contract() -> None:
    """Dashboards elsewhere read batch_operations_total by operation and status."""
    assert metrics.BATCH_OPERATIONS._labelnames == ("operation", "status")
