-- Where apps want to be told of their events, what waits to be told, and what was. `turn` counts
-- changes of the queue: whoever counts it up has the queue to itself until the end of the
-- transaction, so `seq` is the order of commits. `pending` is how many deliveries wait.

create table webhooks (
    id text not null primary key,
    app text not null references apps (id) on delete cascade,
    url text not null,
    events text not null,
    label text not null,
    created_ms integer not null,
    disabled_ms integer,
    turn integer not null,
    pending integer not null,
    dropped integer not null
) strict;

create index webhooks_app on webhooks (app, created_ms, id);

-- `next_ms` is when an attempt is due, or, under a lease, when that is over; null while an earlier
-- delivery of the same subject is pending.

create table webhook_deliveries (
    seq integer not null primary key autoincrement,
    id text not null unique,
    webhook text not null references webhooks (id) on delete cascade,
    app text not null,
    event text not null,
    kind text not null,
    subject text not null,
    body text not null,
    once text,
    repeats text,
    state text not null,
    queued_ms integer not null,
    next_ms integer,
    lease text,
    done_ms integer,
    attempts integer not null,
    unique (webhook, once)
) strict;

create index webhook_deliveries_subject on webhook_deliveries (webhook, subject, seq)
    where state = 'pending';
create index webhook_deliveries_due on webhook_deliveries (next_ms, seq) where state = 'pending';
create index webhook_deliveries_turn on webhook_deliveries (webhook, next_ms, seq)
    where state = 'pending';
create index webhook_deliveries_log on webhook_deliveries (webhook, seq);
create index webhook_deliveries_done on webhook_deliveries (done_ms) where done_ms is not null;

create table webhook_attempts (
    delivery integer not null references webhook_deliveries (seq) on delete cascade,
    number integer not null,
    at_ms integer not null,
    duration_ms integer not null,
    url text not null,
    status integer,
    error text,
    answer text,
    primary key (delivery, number)
) strict;
