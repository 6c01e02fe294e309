-- Apps and their keys. `revision` is that of `meta` when the row last changed; last use apart.
-- Text sorts by its bytes (collate "C"), as it does in SQLite.

create table meta (
    id bigint not null primary key check (id = 1),
    revision bigint not null,
    master_key text collate "C"
);

insert into meta (id, revision) values (1, 0);

create table apps (
    id text collate "C" not null primary key,
    name text collate "C" not null unique,
    created_ms bigint not null,
    disabled_ms bigint,
    settings text collate "C" not null,
    signing_key text collate "C",
    revision bigint not null
);

create index apps_revision on apps (revision);

create table keys (
    id text collate "C" not null primary key,
    app text collate "C" not null references apps (id),
    label text collate "C" not null,
    algorithm text collate "C",
    created_ms bigint not null,
    expires_ms bigint,
    retiring_until_ms bigint,
    revoked_ms bigint,
    last_used_ms bigint,
    ceiling text collate "C",
    kind text collate "C" not null,
    sealed bytea,
    document text collate "C",
    revision bigint not null,
    check ((sealed is null) <> (document is null))
);

create index keys_app on keys (app, created_ms, id);
create index keys_revision on keys (revision);
