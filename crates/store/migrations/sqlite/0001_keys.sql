-- Apps and their keys. `revision` is that of `meta` when the row last changed; last use apart.

create table meta (
    id integer not null primary key check (id = 1),
    revision integer not null,
    master_key text
) strict;

insert into meta (id, revision) values (1, 0);

create table apps (
    id text not null primary key,
    name text not null unique,
    created_ms integer not null,
    disabled_ms integer,
    settings text not null,
    signing_key text,
    revision integer not null
) strict;

create index apps_revision on apps (revision);

create table keys (
    id text not null primary key,
    app text not null references apps (id),
    label text not null,
    algorithm text,
    created_ms integer not null,
    expires_ms integer,
    retiring_until_ms integer,
    revoked_ms integer,
    last_used_ms integer,
    ceiling text,
    kind text not null,
    sealed blob,
    document text,
    revision integer not null,
    check ((sealed is null) <> (document is null))
) strict;

create index keys_app on keys (app, created_ms, id);
create index keys_revision on keys (revision);
