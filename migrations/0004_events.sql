-- The outbox: an event commits with what it reports; an emit_event job carries it on.
create table events (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  type text not null,
  conversation_id uuid,
  message_id uuid,
  data jsonb not null,
  created_at timestamptz not null default now(),
  constraint events_tenant_id_id_unique unique (tenant_id, id),
  constraint events_conversation_fk foreign key (tenant_id, conversation_id)
    references conversations (tenant_id, id) on delete cascade
);
-- Events go with what they are about.
create index events_conversation_idx on events (conversation_id) where conversation_id is not null;
create index events_message_idx on events (message_id) where message_id is not null;
create index events_document_idx on events ((data ->> 'document_id'))
  where type in ('document.indexed', 'document.failed');
call isolate_tenant('events');

create table webhook_endpoints (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  url text not null,
  event_types text[] not null,
  -- Signs deliveries. Sealed.
  secret bytea not null,
  enabled boolean not null default true,
  disabled_reason text,
  created_at timestamptz not null default now(),
  constraint webhook_endpoints_tenant_id_id_unique unique (tenant_id, id)
);
call isolate_tenant('webhook_endpoints');

-- Every try to deliver an event, to an endpoint or, where endpoint_id is null, to the message's callback_url.
create table webhook_attempts (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  event_id uuid not null,
  endpoint_id uuid,
  message_id uuid,
  url text not null,
  attempt integer not null,
  status integer,
  error text,
  response text,
  duration_ms integer not null,
  created_at timestamptz not null default now(),
  constraint webhook_attempts_event_fk foreign key (tenant_id, event_id)
    references events (tenant_id, id) on delete cascade,
  constraint webhook_attempts_endpoint_fk foreign key (tenant_id, endpoint_id)
    references webhook_endpoints (tenant_id, id) on delete set null (endpoint_id)
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
