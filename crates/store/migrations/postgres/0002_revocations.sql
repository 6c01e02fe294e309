-- Tokens that are refused though their key is not, and the row that readiness probes write.

create table revocations (
    app text collate "C" not null references apps (id),
    kind text collate "C" not null,
    subject text collate "C" not null,
    at_ms bigint not null,
    expires_ms bigint,
    revision bigint not null,
    primary key (app, kind, subject)
);

create index revocations_revision on revocations (revision);

create table probe (
    id bigint not null primary key check (id = 1),
    at_ms bigint not null
);

insert into probe (id, at_ms) values (1, 0);
