-- Who stays out for a while, with whatever token. A hold that was lifted is one that has ended.

create table holds (
    app text collate "C" not null references apps (id),
    kind text collate "C" not null,
    subject text collate "C" not null,
    until_ms bigint not null,
    revision bigint not null,
    primary key (app, kind, subject)
);

create index holds_revision on holds (revision);
create index holds_until on holds (until_ms);

-- An identity or a device has no characters any more that hide or reorder text: no token for one
-- passes, so nothing of them has to be kept.

delete from revocations where kind in ('identity', 'device') and subject ~
    U&'[\200B\202A\202B\202C\202D\202E\2060\2066\2067\2068\2069\FEFF]';

delete from auth_families where identity || '/' || device ~
    U&'[\200B\202A\202B\202C\202D\202E\2060\2066\2067\2068\2069\FEFF]';
