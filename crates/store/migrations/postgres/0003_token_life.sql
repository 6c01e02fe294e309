-- The longest that an app's tokens may live by any settings that it ever had, in seconds; null is
-- for ever. What an app had before this is not known: at least the default, which it began with.

alter table apps add column longest_life_s bigint;

update apps set longest_life_s = case
    when settings::json ->> 'exp_required' = 'false' then null
    else greatest(2592000, coalesce((settings::json ->> 'longest_ttl')::bigint, 0))
end;
