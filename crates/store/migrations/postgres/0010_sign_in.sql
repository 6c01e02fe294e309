-- Addresses from which operators have signed in, as keyed hashes: they have a queue and a counter of
-- their own. What stood here before was the addresses themselves, and is not taken over.

drop table operator_peers;

create table operator_addresses (
    operator text collate "C" not null references operators (id) on delete cascade,
    hash bytea not null,
    seen_ms bigint not null,
    primary key (operator, hash)
);

create index operator_addresses_hash on operator_addresses (hash);

-- When password or passkey were last given in a session.

alter table operator_sessions add column confirmed_ms bigint;
