"""Every metric of the program, once.  Labels never carry an id."""

from prometheus_client import Counter, Gauge, Histogram

BATCH_OPERATIONS = Counter(
    "batch_operations_total", "Operations on batches in BOS.", ["operation", "status"]
)
BOS_BATCHES_STALLED = Gauge(
    "huleedu_bos_batches_stalled", "Batches that nobody took up, or went on with, in time."
)
TRANSPORT_MESSAGES = Counter(
    "huleedu_transport_messages_total",
    "Messages by what became of them: handled, again_later, set_aside, superseded.",
    ["topic", "group", "outcome"],
)
TRANSPORT_LAG = Gauge(
    "huleedu_transport_lag_messages",
    "Messages that wait for a group in the partitions that this process holds.",
    ["topic", "group"],
)
TRANSPORT_PARKED = Gauge(
    "huleedu_transport_parked_messages",
    "Messages that wait in the group's store for another attempt, and those with their keys.",
    ["group"],
)
HANDLER_SECONDS = Histogram(
    "huleedu_transport_handler_seconds", "Duration of one delivery.", ["topic", "group"]
)
DEAD_LETTERS = Counter(
    "huleedu_transport_dead_letters_total", "Messages set aside.", ["topic", "group"]
)
CONSUMERS_STOPPED = Gauge(
    "huleedu_transport_consumers_stopped",
    "1 for a group that stopped because most of its messages would have been set aside.",
    ["group"],
)
CONSUMER_RESTARTS = Counter(
    "huleedu_transport_consumer_restarts_total",
    "Consumers made anew for lack of progress: stalled, silent, unanswered.",
    ["group", "reason"],
)
RELAY_PUBLISHED = Counter(
    "huleedu_relay_published_total",
    "Outbox rows that are sent: on the broker, or handled by every group.",
    ["module"],
)
OUTBOX_ROWS = Gauge("huleedu_outbox_unsent_rows", "Outbox rows that wait.", ["module"])
OUTBOX_OLDEST_SECONDS = Gauge(
    "huleedu_outbox_oldest_seconds", "Age of the oldest outbox row that waits.", ["module"]
)
OUTBOX_RENEWED = Counter(
    "huleedu_outbox_renewed_total",
    "Times that an outbox was found to be put back from a backup, or copied.",
    ["module"],
)
GROUP_BACKLOG_ROWS = Gauge(
    "huleedu_group_backlog_rows",
    "Outbox rows that a group of the memory bus has not handled.",
    ["module", "group"],
)
ELS_BATCHES_READY = Counter("huleedu_els_batches_ready_total", "Batches announced as ready.")
ELS_CONTENT_REFUSED = Counter(
    "huleedu_els_content_refused_total", "Texts that a batch could not take.", ["reason"]
)
ELS_TRANSITIONS_SKIPPED = Counter(
    "huleedu_els_transitions_skipped_total", "Events that no longer changed an essay.", ["event"]
)
ELS_READINESS_TIMEOUTS = Counter(
    "huleedu_els_readiness_timeouts_total", "Deadlines that passed with essays missing."
)
ELS_PHASES_OVERDUE = Counter(
    "huleedu_els_phases_overdue_total", "Phases whose rest failed because nothing moved on."
)
ELS_SKIPPED = Counter(
    "huleedu_els_skipped_total",
    "Registrations and texts that changed nothing: repeated, other_ids.",
    ["event", "reason"],
)
ELS_UNSAYABLE = Counter(
    "huleedu_els_unsayable_total",
    "What could not be said of a batch because it is too large for one event.",
    ["event"],
)
FILES_RECEIVED = Counter("huleedu_files_received_total", "Uploaded files by outcome.", ["outcome"])
SPELLCHECK_ESSAYS = Counter(
    "huleedu_spellcheck_essays_total",
    "Essays checked, by language and outcome.",
    ["language", "outcome"],
)
SPELLCHECK_SECONDS = Histogram(
    "huleedu_spellcheck_essay_seconds", "Time to check one essay.", ["language"]
)
HTTP_REQUESTS = Counter(
    "huleedu_http_requests_total",
    "Requests by route template and status.",
    ["method", "route", "status"],
)
HTTP_SECONDS = Histogram(
    "huleedu_http_request_seconds", "Duration of a request by route template.", ["method", "route"]
)
RESULTS_STREAMS = Gauge("huleedu_results_streams_open", "Open server-sent event streams.")
