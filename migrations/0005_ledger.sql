-- Unfinished jobs: the truth that the lanes in Redis are rebuilt from. tenant_id is null for the platform's own.
--
-- A row is written in the transaction that causes the job and removed in the one that commits its effect.
-- In between it is touched only when something went wrong, or when it waited longer than the relay's grace.
create table jobs (
  id uuid primary key,
  tenant_id uuid references tenants on delete cascade,
  kind text not null,
  key text not null,
  payload jsonb not null,
  -- The message, document … the job works on; joins the timeline.
  subject uuid,
  priority smallint not null default 5,
  run_at timestamptz not null,
  -- When the relay pushes the row unless it is finished by then; far ahead once the lane is known to hold it.
  relay_at timestamptz not null,
  -- The tenant's window in the lane is full: the row waits here, and the relay takes it when there is room.
  parked boolean not null default false,
  attempt integer not null default 0,
  -- Highest lease token that reported a failure: a worker with an older lease cannot finish the job any more.
  fence bigint not null default 0,
  -- Workers lost with it, as its lane counted at the last take-over: a lease given back spends no attempt again.
  lost integer not null default 0,
  last_error text,
  traceparent text,
  created_at timestamptz not null default now(),
  constraint jobs_kind_key_unique unique (kind, key)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index jobs_relay_idx on jobs (relay_at);
create index jobs_parked_idx on jobs (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), run_at)
  where parked;
create index jobs_kind_run_at_idx on jobs (kind, run_at);
-- With the id, so that the planner, which sees a table that is mostly empty, cannot take it for a look-up by id and then walk all
-- of a tenant's rows.
create index jobs_tenant_idx on jobs (tenant_id, id);
create index jobs_subject_idx on jobs (subject);
-- Replayed jobs, few at a time: a replay waits while those it brought back are not done.
create index jobs_replayed_idx on jobs (run_at) where priority = 9;
create index jobs_replayed_tenant_idx on jobs (tenant_id, run_at) where priority = 9;
call isolate_tenant('jobs');

create table job_history (
  id uuid not null,
  tenant_id uuid,
  kind text not null,
  key text not null,
  subject uuid,
  attempt integer not null,
  outcome text not null,
  created_at timestamptz not null,
  run_at timestamptz not null,
  started_at timestamptz not null,
  finished_at timestamptz not null default clock_timestamp(),
  primary key (id, finished_at),
  constraint job_history_tenant_fk foreign key (tenant_id) references tenants on delete cascade,
  constraint job_history_outcome_known check (outcome in ('done', 'cancelled'))
) partition by range (finished_at);
create index job_history_tenant_idx on job_history (tenant_id, subject);
create table job_history_default partition of job_history default;

-- Creates the daily partitions of job_history from `first` on; existing ones are left alone.
create procedure create_job_history_partitions(first date, days integer)
language plpgsql
as $$
begin
  for ahead in 0 .. days - 1 loop
    execute format(
      'create table if not exists %I partition of job_history for values from (%L) to (%L)',
      'job_history_' || to_char(first + ahead, 'YYYY_MM_DD'), (first + ahead) || ' 00:00:00+00',
      (first + ahead + 1) || ' 00:00:00+00');
  end loop;
end $$;
call create_job_history_partitions(current_date, 14);
call isolate_tenant('job_history');

-- Jobs that gave up, with their cause, until somebody replays them.
create table dead_jobs (
  id uuid primary key,
  tenant_id uuid references tenants on delete cascade,
  kind text not null,
  key text not null,
  payload jsonb not null,
  subject uuid,
  priority smallint not null,
  attempt integer not null,
  -- Kept for a replay: a worker that was fenced off stays so.
  fence bigint not null default 0,
  cause text not null,
  traceparent text,
  created_at timestamptz not null,
  died_at timestamptz not null default now()
);
-- Every list and every walk goes along died_at, from a position on.
create index dead_jobs_died_idx on dead_jobs (died_at, id);
create index dead_jobs_kind_idx on dead_jobs (kind, died_at, id);
create index dead_jobs_tenant_idx on dead_jobs (tenant_id, died_at, id);
create index dead_jobs_tenant_kind_idx on dead_jobs (tenant_id, kind, died_at, id);
create index dead_jobs_subject_idx on dead_jobs (subject);
call isolate_tenant('dead_jobs');

-- Replays of many dead jobs, each walked by one job at a time. tenant_id is null for all tenants' and the platform's.
create table dead_job_replays (
  id uuid primary key,
  tenant_id uuid references tenants on delete cascade,
  kind text,
  cause_contains text,
  died_after timestamptz,
  died_before timestamptz,
  rate_per_second integer not null,
  state text not null default 'running',
  matched integer not null,
  replayed integer not null default 0,
  -- Left dead: the same work was queued already.
  skipped integer not null default 0,
  -- How far the walk has come.
  walked_at timestamptz not null default 'epoch',
  walked_id uuid not null default '00000000-0000-0000-0000-000000000000',
  -- Jobs that died later are left alone, so one that dies again is not replayed again.
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint dead_job_replays_rate_bounded check (rate_per_second between 1 and 1000),
  constraint dead_job_replays_state_known check (state in ('running', 'finished', 'cancelled', 'failed'))
);
-- Keeps the rate: one walk per tenant, and one of the operator's.
create unique index dead_job_replays_one_running
  on dead_job_replays (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000')) where state = 'running';
create index dead_job_replays_tenant_idx on dead_job_replays (tenant_id);
create index dead_job_replays_finished_idx on dead_job_replays (finished_at) where finished_at is not null;
call isolate_tenant('dead_job_replays');
