-- Which key's token made a key, and since when a revoked key's id is free for another app.

alter table keys add column made_by text;
alter table keys add column released_ms integer;
