-- The outbox: an event commits with what it reports; an emit_event job carries it on.
create table events (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  type text not null,
  conversation_id uuid,
  message_id uuid,
  data jsonb not null,
  created_at timestamptz not null default now()
);
create index events_tenant_idx on events (tenant_id, id desc);
call isolate_tenant('events');

create table webhook_endpoints (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  url text not null,
  event_types text[] not null,
  secret text not null,
  enabled boolean not null default true,
  disabled_reason text,
  created_at timestamptz not null default now()
);
create index webhook_endpoints_tenant_idx on webhook_endpoints (tenant_id, id desc);
call isolate_tenant('webhook_endpoints');

-- Every try to deliver an event, to an endpoint or, where endpoint_id is null, to the message's callback_url.
create table webhook_attempts (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  event_id uuid not null references events on delete cascade,
  endpoint_id uuid references webhook_endpoints on delete set null,
  message_id uuid,
  url text not null,
  attempt integer not null,
  status integer,
  error text,
  response text,
  duration_ms integer not null,
  created_at timestamptz not null default now()
);
create index webhook_attempts_tenant_idx on webhook_attempts (tenant_id, message_id);
create index webhook_attempts_event_idx on webhook_attempts (event_id);
create index webhook_attempts_endpoint_idx on webhook_attempts (endpoint_id);
call isolate_tenant('webhook_attempts');

-- Stripe events, stored once before they are acknowledged. Attributed to a tenant when processed.
create table stripe_events (
  id text primary key,
  type text not null,
  payload jsonb not null,
  tenant_id uuid references tenants on delete set null,
  outcome text,
  received_at timestamptz not null default now(),
  processed_at timestamptz
);
create index stripe_events_tenant_idx on stripe_events (tenant_id);
call isolate_tenant('stripe_events');
