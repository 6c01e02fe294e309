-- The servers that work on this database, on PostgreSQL. On SQLite the lock of the data directory
-- serves, and the table stays empty.
create table nodes (
    id text not null primary key,
    url text not null,
    mode text not null,
    started_ms integer not null
) strict;
