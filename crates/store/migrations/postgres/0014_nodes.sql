-- The servers that work on this database. A row counts for as long as its server holds a session
-- advisory lock; without that the server is gone. On SQLite the lock of the data directory serves.
create table nodes (
    id text collate "C" not null primary key,
    url text collate "C" not null,
    mode text collate "C" not null,
    started_ms bigint not null
);
