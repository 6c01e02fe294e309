-- Who changed what, when and from where. What is told of an app outlives it.

create table audit (
    id text not null primary key,
    at_ms integer not null,
    actor_kind text not null,
    actor_id text,
    actor_name text,
    action text not null,
    about text,
    target text not null,
    peer text,
    detail text
) strict;

create index audit_at on audit (at_ms, id);

create index audit_about on audit (about, at_ms, id);
