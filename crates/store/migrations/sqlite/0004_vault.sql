-- Secrets that are not keys, the public ids by which apps without a server name their key, and the
-- apps that are no more, so that every process hears of it.

create table vault (
    name text not null primary key,
    app text references apps (id),
    sealed blob not null
) strict;

create index vault_app on vault (app);

create table api_keys (
    id text not null primary key,
    app text not null references apps (id),
    signs_with text not null references keys (id),
    label text not null,
    created_ms integer not null,
    revoked_ms integer,
    revision integer not null
) strict;

create index api_keys_app on api_keys (app);
create index api_keys_signs_with on api_keys (signs_with);
create index api_keys_revision on api_keys (revision);

create table deleted_apps (
    id text not null primary key,
    deleted_ms integer not null,
    revision integer not null
) strict;

create index deleted_apps_revision on deleted_apps (revision);
