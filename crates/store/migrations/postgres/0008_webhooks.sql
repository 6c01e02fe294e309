-- Where apps want to be told of their events, what waits to be told, and what was. `turn` counts
-- changes of the queue: whoever counts it up has the queue to itself until the end of the
-- transaction, so `seq` is the order of commits. `pending` is how many deliveries wait.

create table webhooks (
    id text collate "C" not null primary key,
    app text collate "C" not null references apps (id) on delete cascade,
    url text collate "C" not null,
    events text collate "C" not null,
    label text collate "C" not null,
    created_ms bigint not null,
    disabled_ms bigint,
    turn bigint not null,
    pending bigint not null,
    dropped bigint not null
);

create index webhooks_app on webhooks (app, created_ms, id);

-- `next_ms` is when an attempt is due, or, under a lease, when that is over; null while an earlier
-- delivery of the same subject is pending.

create table webhook_deliveries (
    seq bigint not null generated always as identity primary key,
    id text collate "C" not null unique,
    webhook text collate "C" not null references webhooks (id) on delete cascade,
    app text collate "C" not null,
    event text collate "C" not null,
    kind text collate "C" not null,
    subject text collate "C" not null,
    body text collate "C" not null,
    once text collate "C",
    repeats text collate "C",
    state text collate "C" not null,
    queued_ms bigint not null,
    next_ms bigint,
    lease text collate "C",
    done_ms bigint,
    attempts bigint not null,
    unique (webhook, once)
);

create index webhook_deliveries_subject on webhook_deliveries (webhook, subject, seq)
    where state = 'pending';
create index webhook_deliveries_due on webhook_deliveries (next_ms, seq) where state = 'pending';
create index webhook_deliveries_turn on webhook_deliveries (webhook, next_ms, seq)
    where state = 'pending';
create index webhook_deliveries_log on webhook_deliveries (webhook, seq);
create index webhook_deliveries_done on webhook_deliveries (done_ms) where done_ms is not null;

create table webhook_attempts (
    delivery bigint not null references webhook_deliveries (seq) on delete cascade,
    number bigint not null,
    at_ms bigint not null,
    duration_ms bigint not null,
    url text collate "C" not null,
    status bigint,
    error text collate "C",
    answer text collate "C",
    primary key (delivery, number)
);
