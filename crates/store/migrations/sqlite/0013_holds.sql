-- Who stays out for a while, with whatever token. A hold that was lifted is one that has ended.

create table holds (
    app text not null references apps (id),
    kind text not null,
    subject text not null,
    until_ms integer not null,
    revision integer not null,
    primary key (app, kind, subject)
) strict;

create index holds_revision on holds (revision);
create index holds_until on holds (until_ms);

-- An identity or a device has no characters any more that hide or reorder text: no token for one
-- passes, so nothing of them has to be kept.

delete from revocations where kind in ('identity', 'device') and subject glob
    '*[' || char(8203, 8234, 8235, 8236, 8237, 8238, 8288, 8294, 8295, 8296, 8297, 65279) || ']*';

delete from auth_families where identity || '/' || device glob
    '*[' || char(8203, 8234, 8235, 8236, 8237, 8238, 8288, 8294, 8295, 8296, 8297, 65279) || ']*';
