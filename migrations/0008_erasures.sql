-- Requests to erase a document, a contact or a tenant, each its own receipt: what was removed from where, and the proof that
-- nothing is left.
create table erasures (
  id uuid primary key,
  -- No foreign key: the receipt outlives the tenant it is about.
  tenant_id uuid not null,
  scope text not null,
  -- The document's or the tenant's id. A contact's own id while it is being erased, its SHA-256 from then on: the receipt must not
  -- keep what was to be forgotten.
  subject text not null,
  requested_by text not null,
  request_id text not null,
  status text not null default 'running',
  -- Rows by table, vectors among them.
  removed jsonb not null default '{}',
  -- Rows by table that were found after each part of the removal; added up they are the proof.
  found jsonb not null default '{}',
  proof jsonb,
  requested_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint erasures_scope_known check (scope in ('document', 'contact', 'tenant')),
  constraint erasures_requester_known check (requested_by in ('tenant', 'operator')),
  constraint erasures_status_known check (status in ('running', 'finished', 'failed')),
  constraint erasures_finished_with_proof check
    ((status = 'finished') = (finished_at is not null) and (status = 'finished') = (proof is not null))
);
create unique index erasures_one_at_a_time on erasures (tenant_id, scope, subject) where finished_at is null;
create index erasures_tenant_idx on erasures (tenant_id, id desc);
call isolate_tenant('erasures');

-- Saved responses that name a conversation go with it.
create index idempotency_keys_conversation_idx on idempotency_keys (tenant_id, (response ->> 'conversation_id'))
  where response ->> 'conversation_id' is not null;

-- The tables whose rows go with their tenant, those that refer to others first. Read from the catalogue, so that a table
-- made later is among them. Not api_logs, which outlives the tenant without its name, and not the receipts.
create function tenant_owned_tables() returns setof text
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
  with recursive owned as (
    select c.oid, c.relname
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and c.relname not in ('api_logs', 'erasures')
  ), refers (child, parent) as (
    select distinct conrelid, confrelid from pg_constraint where contype = 'f' and conrelid <> confrelid
  ), ranked (oid, rank) as (
    select oid, 0 from owned
    union
    select refers.parent, rank + 1 from ranked join refers on refers.child = ranked.oid
    where rank < 20 and refers.parent in (select oid from owned)
  )
  select relname::text from owned join ranked using (oid) group by relname order by max(rank), relname
$$;

-- Deletes up to `most` rows of the transaction's tenant from one of its tables; returns how many. Acts as its caller, so that
-- row-level security holds. Rows that the caller may not delete are left to the cascade of their tenant.
create function erase_rows(owned text, most integer) returns bigint
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
  key text;
  deleted bigint;
begin
  if owned not in (select tenant_owned_tables()) then
    raise exception 'rows of % do not go with their tenant', owned;
  end if;
  select string_agg(format('%I', a.attname), ', ' order by part.position) into key
  from pg_index i, unnest(i.indkey) with ordinality part (attnum, position), pg_attribute a
  where i.indrelid = format('public.%I', owned)::regclass and i.indisprimary
    and a.attrelid = i.indrelid and a.attnum = part.attnum;
  execute format(
    'delete from public.%1$I where (%2$s) in (
       select %2$s from public.%1$I where tenant_id = public.current_tenant() limit %3$s)', owned, key, most);
  get diagnostics deleted = row_count;
  return deleted;
exception
  when insufficient_privilege then return 0;
end $$;

-- Counts the rows of the transaction's tenant in every table that erase_rows takes, and in tenants itself.
create function tenant_rows() returns table (name text, rows bigint)
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
  for name in select tenant_owned_tables() loop
    execute format('select count(*) from public.%I where tenant_id = public.current_tenant()', name) into rows;
    return next;
  end loop;
  select 'tenants', count(*) into name, rows from public.tenants where id = public.current_tenant();
  return next;
end $$;
