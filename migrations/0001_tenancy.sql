-- Roles, row-level security and the tenants themselves.
--
-- The login role owns the schema and runs migrations. The processes switch each connection to one of two
-- roles without BYPASSRLS: metachat_app sees the rows of the tenant named in app.tenant_id, and none when the
-- setting is missing; metachat_system (relay, key look-up, billing look-up) sees all through its own policies.
do $$
declare
  name text;
begin
  foreach name in array array['metachat_app', 'metachat_system'] loop
    begin
      execute format('create role %I nologin', name);
    exception
      -- Roles are shared by all databases of a server; another one may be migrating at this moment.
      when duplicate_object or unique_violation then null;
    end;
    execute format('grant %I to current_user', name);
    execute format('grant usage on schema public to %I', name);
  end loop;
end $$;

create function current_tenant() returns uuid
language sql stable
as $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;

-- Puts a table under tenant isolation: forced row-level security and the grants of both roles.
create procedure isolate_tenant(owned regclass, tenant_column text default 'tenant_id')
language plpgsql
as $$
begin
  execute format('alter table %s enable row level security', owned);
  execute format('alter table %s force row level security', owned);
  execute format(
    'create policy tenant_isolation on %s to metachat_app using (%2$I = (select current_tenant())) with check (%2$I = (select current_tenant()))',
    owned, tenant_column);
  execute format('create policy system_access on %s to metachat_system using (true) with check (true)', owned);
  execute format('grant select, insert, update, delete on %s to metachat_app, metachat_system', owned);
end $$;

create table tenants (
  id uuid primary key,
  name text not null,
  plan text not null default 'free',
  limits jsonb not null default '{}',
  settings jsonb not null default '{}',
  enabled boolean not null default true,
  -- Its erasure was asked for: no new work is taken, and this row goes last.
  erasing boolean not null default false,
  -- Signs deliveries to a message's callback_url. Sealed, as are all secrets: jobs/src/domain/secret.rs.
  callback_secret bytea not null,
  -- The model that embedded what its searches read; null before its first document. The next one is being built beside it,
  -- document by document, and takes its place when it holds all that is searchable.
  embedding_model text,
  next_embedding_model text,
  -- When either changed: the tables of other models are dropped some minutes later.
  embedding_changed_at timestamptz,
  stripe_customer_id text,
  stripe_subscription_id text,
  subscription_status text,
  -- Creation time of the newest Stripe event applied; older ones are ignored.
  subscription_event_at timestamptz,
  created_at timestamptz not null default now(),
  constraint tenants_plan_known check (plan in ('free', 'starter', 'pro')),
  constraint tenants_name_length check (char_length(name) between 1 and 200),
  constraint tenants_stripe_customer_unique unique (stripe_customer_id)
);
call isolate_tenant('tenants', 'id');

create table api_keys (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  name text not null,
  -- SHA-256 of the whole key; the key itself is shown once and never stored.
  hash bytea not null,
  last_four text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  -- Null: never. A rotated key's is the end of its overlap with the new one.
  expires_at timestamptz,
  -- To the minute.
  last_used_at timestamptz,
  revoked_at timestamptz,
  -- The key that a rotation made in its place.
  replaced_by uuid,
  constraint api_keys_hash_unique unique (hash),
  constraint api_keys_tenant_id_id_unique unique (tenant_id, id),
  constraint api_keys_replaced_by_fk foreign key (tenant_id, replaced_by)
    references api_keys (tenant_id, id) on delete set null (replaced_by),
  constraint api_keys_hash_length check (octet_length(hash) = 32),
  constraint api_keys_name_length check (char_length(name) between 1 and 200),
  constraint api_keys_scopes_known check (cardinality(scopes) > 0 and scopes <@ array[
    'read', 'messages:write', 'documents:write', 'webhooks:write', 'jobs:write', 'admin'])
);
create index api_keys_tenant_id_idx on api_keys (tenant_id);
call isolate_tenant('api_keys');

-- Usage per calendar month (UTC), reserved in the transaction that accepts the work.
create table usage_months (
  tenant_id uuid not null references tenants on delete cascade,
  month date not null,
  messages bigint not null default 0,
  conversations bigint not null default 0,
  primary key (tenant_id, month)
);
call isolate_tenant('usage_months');

-- Saved responses of requests with an Idempotency-Key.
create table idempotency_keys (
  id uuid primary key,
  -- Null: the operator's request is about no tenant that existed, and no tenant sees it.
  tenant_id uuid references tenants on delete cascade,
  -- Who sent it: the operator's keys and a tenant's do not meet.
  audience text not null,
  key text not null,
  -- SHA-256 of route and body: the same key with another request is refused.
  fingerprint bytea not null,
  status smallint not null,
  -- The Location header.
  location text,
  -- The body, byte for byte: json, which jsonb would put in order. One that shows a secret is sealed instead.
  response json,
  sealed bytea,
  created_at timestamptz not null default now(),
  constraint idempotency_keys_unique unique nulls not distinct (tenant_id, audience, key),
  constraint idempotency_keys_key_length check (char_length(key) between 1 and 255),
  constraint idempotency_keys_audience_known check (audience in ('tenant', 'operator')),
  constraint idempotency_keys_status_success check (status between 200 and 299),
  constraint idempotency_keys_one_response check (num_nonnulls(response, sealed) = 1)
);
-- Sealed ones are walked when keys are rotated.
create index idempotency_keys_sealed_idx on idempotency_keys (id) where sealed is not null;
call isolate_tenant('idempotency_keys');
