-- The people who sign in to the Console. Of what opens a door there is only the hash: argon2id of
-- passwords, SHA-256 of random tokens.

create table operators (
    id text not null primary key,
    email text not null unique,
    name text not null,
    role text not null,
    apps text,
    password text,
    created_ms integer not null,
    disabled_ms integer,
    last_sign_in_ms integer,
    totp_ms integer,
    totp_step integer
) strict;

create table operator_sessions (
    id text not null primary key,
    hash blob not null unique,
    operator text not null references operators (id) on delete cascade,
    created_ms integer not null,
    seen_ms integer not null,
    peer text not null,
    agent text not null
) strict;

create index operator_sessions_operator on operator_sessions (operator);

create table operator_invitations (
    operator text not null primary key references operators (id) on delete cascade,
    hash blob not null unique,
    expires_ms integer not null
) strict;

create table operator_recovery_codes (
    operator text not null references operators (id) on delete cascade,
    hash blob not null,
    primary key (operator, hash)
) strict;

create table operator_passkeys (
    id blob not null primary key,
    operator text not null references operators (id) on delete cascade,
    label text not null,
    public_key blob not null,
    sign_count integer not null,
    created_ms integer not null,
    last_used_ms integer
) strict;

create index operator_passkeys_operator on operator_passkeys (operator);

-- Challenges that were answered with a passkey, for as long as they would be good.

create table operator_challenges (
    hash blob not null primary key,
    until_ms integer not null
) strict;

-- Whence an operator has signed in, so that strangers elsewhere do not lock it out.

create table operator_peers (
    operator text not null references operators (id) on delete cascade,
    peer text not null,
    seen_ms integer not null,
    primary key (operator, peer)
) strict;

-- Failed attempts to sign in: per account or address the time at which all is forgiven.

create table operator_attempts (
    subject text not null primary key,
    forgiven_ms integer not null
) strict;
