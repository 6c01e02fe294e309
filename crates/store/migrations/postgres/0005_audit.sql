-- Who changed what, when and from where. What is told of an app outlives it.

create table audit (
    id text collate "C" not null primary key,
    at_ms bigint not null,
    actor_kind text collate "C" not null,
    actor_id text collate "C",
    actor_name text collate "C",
    action text collate "C" not null,
    about text collate "C",
    target text collate "C" not null,
    peer text collate "C",
    detail text collate "C"
);

create index audit_at on audit (at_ms, id);

create index audit_about on audit (about, at_ms, id);
