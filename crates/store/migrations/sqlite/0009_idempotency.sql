-- Writes that may be sent again. id and request are hashes; answer is sealed, null while it is done.
create table idempotency (
    id text primary key,
    app text not null references apps (id),
    request text not null,
    turn text not null,
    started_ms bigint not null,
    expires_ms bigint not null,
    answer blob
);

create index idempotency_by_expiry on idempotency (expires_ms);
create index idempotency_by_app on idempotency (app);
