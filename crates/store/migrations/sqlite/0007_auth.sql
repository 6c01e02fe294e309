-- The Auth Service: how an app's users sign in, who did so without a name, what is good once, and
-- the lines of refresh tokens. No token stands here, only hashes of them.

create table auth_settings (
    app text primary key not null references apps (id),
    settings text not null,
    updated_ms integer not null
) strict;

create table auth_anonymous (
    app text not null references apps (id),
    identity text not null,
    created_ms integer not null,
    expires_ms integer not null,
    primary key (app, identity)
) strict;

create index auth_anonymous_expires on auth_anonymous (expires_ms);

create table auth_once (
    hash text primary key not null,
    app text not null references apps (id),
    kind text not null,
    body text not null,
    expires_ms integer not null
) strict;

create index auth_once_expires on auth_once (expires_ms);
create index auth_once_app on auth_once (app);

create table auth_families (
    id text primary key not null,
    app text not null references apps (id),
    api_key text not null,
    strategy text not null,
    identity text not null,
    device text not null,
    body text not null,
    created_ms integer not null,
    expires_ms integer not null,
    current_hash text not null,
    previous_hash text,
    rotated_ms integer not null,
    revoked_ms integer
) strict;

create index auth_families_app on auth_families (app, identity, id);
create index auth_families_expires on auth_families (expires_ms);
