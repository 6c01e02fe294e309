-- The people who sign in to the Console. Of what opens a door there is only the hash: argon2id of
-- passwords, SHA-256 of random tokens.

create table operators (
    id text collate "C" not null primary key,
    email text collate "C" not null unique,
    name text collate "C" not null,
    role text collate "C" not null,
    apps text collate "C",
    password text collate "C",
    created_ms bigint not null,
    disabled_ms bigint,
    last_sign_in_ms bigint,
    totp_ms bigint,
    totp_step bigint
);

create table operator_sessions (
    id text collate "C" not null primary key,
    hash bytea not null unique,
    operator text collate "C" not null references operators (id) on delete cascade,
    created_ms bigint not null,
    seen_ms bigint not null,
    peer text collate "C" not null,
    agent text collate "C" not null
);

create index operator_sessions_operator on operator_sessions (operator);

create table operator_invitations (
    operator text collate "C" not null primary key references operators (id) on delete cascade,
    hash bytea not null unique,
    expires_ms bigint not null
);

create table operator_recovery_codes (
    operator text collate "C" not null references operators (id) on delete cascade,
    hash bytea not null,
    primary key (operator, hash)
);

create table operator_passkeys (
    id bytea not null primary key,
    operator text collate "C" not null references operators (id) on delete cascade,
    label text collate "C" not null,
    public_key bytea not null,
    sign_count bigint not null,
    created_ms bigint not null,
    last_used_ms bigint
);

create index operator_passkeys_operator on operator_passkeys (operator);

-- Challenges that were answered with a passkey, for as long as they would be good.

create table operator_challenges (
    hash bytea not null primary key,
    until_ms bigint not null
);

-- Whence an operator has signed in, so that strangers elsewhere do not lock it out.

create table operator_peers (
    operator text collate "C" not null references operators (id) on delete cascade,
    peer text collate "C" not null,
    seen_ms bigint not null,
    primary key (operator, peer)
);

-- Failed attempts to sign in: per account or address the time at which all is forgiven.

create table operator_attempts (
    subject text collate "C" not null primary key,
    forgiven_ms bigint not null
);
