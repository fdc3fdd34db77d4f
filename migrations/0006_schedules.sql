-- When scheduled jobs are due. Which schedules exist is said by the code; a row remembers how far one has come.
create table schedules (
  name text primary key,
  every interval not null,
  -- From the Unix epoch to the start of a period.
  phase interval not null,
  next_at timestamptz not null,
  last_period timestamptz,
  last_success_at timestamptz,
  registered_at timestamptz not null default now(),
  constraint schedules_every_positive check (every > interval '0')
);
alter table schedules enable row level security;
alter table schedules force row level security;
create policy tenant_isolation on schedules to metachat_app using (false);
create policy system_access on schedules to metachat_system using (true) with check (true);
grant select, insert, update on schedules to metachat_system;

-- The purge goes along these.
create index idempotency_keys_created_idx on idempotency_keys (created_at);

-- The system role creates and drops no tables: it calls these, which act as the schema's owner and touch nothing but
-- partitions. A lock that is not free at once is given up, so that nobody queues behind it; the job tries again.

-- Creates the partition that begins at `first` (of a month for messages and api_logs, a day for job_history). Returns
-- 'created', 'exists', or 'default_holds_rows' where the default partition has rows that belong into it.
create function create_partition(parent text, first date) returns text
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '200ms'
as $$
declare
  partition text;
  until date;
begin
  case parent
    when 'messages', 'api_logs' then
      partition := parent || '_' || to_char(first, 'YYYY_MM');
      until := first + interval '1 month';
    when 'job_history' then
      partition := 'job_history_' || to_char(first, 'YYYY_MM_DD');
      until := first + 1;
    else
      raise exception 'table % has no partitions of ours', parent;
  end case;
  if to_regclass('public.' || partition) is not null then
    return 'exists';
  end if;
  execute format('create table public.%I partition of public.%I for values from (%L) to (%L)',
    partition, parent, first || ' 00:00:00+00', until || ' 00:00:00+00');
  return 'created';
exception
  when check_violation then return 'default_holds_rows';
  when duplicate_table then return 'exists';
end $$;

-- Drops the oldest partition of a table that ends at `before` or earlier; returns its name, null without any. Dropped, not
-- detached: what was detached would still hold what retention and erasure promise is gone, where neither looks.
create function drop_partition(parent text, before date) returns text
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '200ms'
as $$
declare
  shape text;
  span interval;
  oldest text;
begin
  if before > (now() at time zone 'utc')::date then
    raise exception 'partitions of % that end by % may not be over', parent, before;
  end if;
  case parent
    when 'messages', 'api_logs' then
      shape := 'YYYY_MM';
      span := interval '1 month';
    when 'job_history' then
      shape := 'YYYY_MM_DD';
      span := interval '1 day';
    else
      raise exception 'table % has no partitions of ours', parent;
  end case;
  select child.relname into oldest
  from pg_inherits link join pg_class child on child.oid = link.inhrelid
  where link.inhparent = format('public.%I', parent)::regclass
    and child.relname ~ ('^' || parent || '_' || regexp_replace(shape, '[YMD]', '\d', 'g') || '$')
    and to_date(right(child.relname, length(shape)), shape) + span <= before
  order by child.relname limit 1;
  if oldest is not null then
    execute format('drop table public.%I', oldest);
  end if;
  return oldest;
end $$;

-- Whether each default partition holds rows: some partition was missing when they came.
create function default_partitions_in_use() returns table (parent text, in_use boolean)
language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
  return query
    select 'messages', exists (select from public.messages_default)
    union all
    select 'api_logs', exists (select from public.api_logs_default)
    union all
    select 'job_history', exists (select from public.job_history_default);
end $$;

revoke execute on function create_partition, drop_partition, default_partitions_in_use from public;
grant execute on function create_partition, drop_partition, default_partitions_in_use to metachat_system;
