-- Secrets that are not keys, the public ids by which apps without a server name their key, and the
-- apps that are no more, so that every process hears of it.

create table vault (
    name text collate "C" not null primary key,
    app text collate "C" references apps (id),
    sealed bytea not null
);

create index vault_app on vault (app);

create table api_keys (
    id text collate "C" not null primary key,
    app text collate "C" not null references apps (id),
    signs_with text collate "C" not null references keys (id),
    label text collate "C" not null,
    created_ms bigint not null,
    revoked_ms bigint,
    revision bigint not null
);

create index api_keys_app on api_keys (app);
create index api_keys_signs_with on api_keys (signs_with);
create index api_keys_revision on api_keys (revision);

create table deleted_apps (
    id text collate "C" not null primary key,
    deleted_ms bigint not null,
    revision bigint not null
);

create index deleted_apps_revision on deleted_apps (revision);
