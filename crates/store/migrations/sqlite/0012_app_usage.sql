-- How many bytes each app keeps of what its server writes, so that it can be bounded. Counted by the
-- transactions that write and remove; nothing refers to apps, so that an app's end removes its row.

alter table audit add column bytes integer not null default 0;

update audit set bytes = 200 + length(cast(target as blob)) + coalesce(length(cast(detail as blob)), 0);

create index idempotency_answered on idempotency (app, started_ms, id) where length(answer) > 0;
create index idempotency_unanswered on idempotency (app, started_ms, id) where length(answer) = 0;

create table app_usage (
    app text not null primary key,
    audit_bytes integer not null,
    idempotency_bytes integer not null,
    idempotency_requests integer not null
) strict;

insert into app_usage (app, audit_bytes, idempotency_bytes, idempotency_requests)
select id,
    coalesce((select sum(bytes) from audit where about = apps.id), 0),
    coalesce((select sum(256 + coalesce(length(answer), 0)) from idempotency where app = apps.id), 0),
    (select count(*) from idempotency where app = apps.id)
from apps;
