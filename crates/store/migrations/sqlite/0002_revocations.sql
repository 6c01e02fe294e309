-- Tokens that are refused though their key is not, and the row that readiness probes write.

create table revocations (
    app text not null references apps (id),
    kind text not null,
    subject text not null,
    at_ms integer not null,
    expires_ms integer,
    revision integer not null,
    primary key (app, kind, subject)
) strict;

create index revocations_revision on revocations (revision);

create table probe (
    id integer not null primary key check (id = 1),
    at_ms integer not null
) strict;

insert into probe (id, at_ms) values (1, 0);
