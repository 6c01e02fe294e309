-- The longest that an app's tokens may live by any settings that it ever had, in seconds; null is
-- for ever. What an app had before this is not known: at least the default, which it began with.

alter table apps add column longest_life_s integer;

update apps set longest_life_s = case
    when json_extract(settings, '$.exp_required') = 0 then null
    else max(2592000, coalesce(json_extract(settings, '$.longest_ttl'), 0))
end;
