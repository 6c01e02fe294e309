-- The Auth Service: how an app's users sign in, who did so without a name, what is good once, and
-- the lines of refresh tokens. No token stands here, only hashes of them.

create table auth_settings (
    app text collate "C" primary key not null references apps (id),
    settings text collate "C" not null,
    updated_ms bigint not null
);

create table auth_anonymous (
    app text collate "C" not null references apps (id),
    identity text collate "C" not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    primary key (app, identity)
);

create index auth_anonymous_expires on auth_anonymous (expires_ms);

create table auth_once (
    hash text collate "C" primary key not null,
    app text collate "C" not null references apps (id),
    kind text collate "C" not null,
    body text collate "C" not null,
    expires_ms bigint not null
);

create index auth_once_expires on auth_once (expires_ms);
create index auth_once_app on auth_once (app);

create table auth_families (
    id text collate "C" primary key not null,
    app text collate "C" not null references apps (id),
    api_key text collate "C" not null,
    strategy text collate "C" not null,
    identity text collate "C" not null,
    device text collate "C" not null,
    body text collate "C" not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    current_hash text collate "C" not null,
    previous_hash text collate "C",
    rotated_ms bigint not null,
    revoked_ms bigint
);

create index auth_families_app on auth_families (app, identity, id);
create index auth_families_expires on auth_families (expires_ms);
