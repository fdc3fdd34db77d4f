create table conversations (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  contact_id text,
  contact_name text,
  status text not null default 'open',
  -- Who answers. A change of hands bumps the epoch; an answer begun under an older epoch is discarded.
  handler text not null default 'bot',
  epoch integer not null default 0,
  -- The one message being answered now.
  active_message_id uuid,
  last_seq integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint conversations_tenant_id_id_unique unique (tenant_id, id),
  constraint conversations_status_known check (status in ('open', 'escalated', 'resolved')),
  constraint conversations_handler_known check (handler in ('bot', 'human'))
);
create index conversations_tenant_updated_idx on conversations (tenant_id, updated_at desc, id desc);
-- A contact's own conversations: exported and erased.
create index conversations_contact_idx on conversations (tenant_id, contact_id, id) where contact_id is not null;
call isolate_tenant('conversations');

-- Transcript lines. A customer's message also carries the state of its answer.
-- created_at is the time held in the UUIDv7 id, so a look-up by id names the partition as well.
create table messages (
  id uuid not null,
  created_at timestamptz not null,
  tenant_id uuid not null,
  conversation_id uuid not null,
  seq integer not null,
  role text not null,
  text text not null,
  -- The customer's message that an assistant's message answers.
  reply_to uuid,
  metadata jsonb,
  callback_url text,
  -- The trace of the request that brought it.
  traceparent text,
  status text,
  epoch integer not null default 0,
  sources jsonb,
  retrieval jsonb,
  draft text,
  -- What the customer was told.
  answer text,
  model text,
  prompt_tokens integer,
  completion_tokens integer,
  cost_microusd bigint,
  confidence jsonb,
  error jsonb,
  ingested_at timestamptz,
  turn_at timestamptz,
  retrieved_at timestamptz,
  completed_at timestamptz,
  finished_at timestamptz,
  primary key (id, created_at),
  constraint messages_tenant_fk foreign key (tenant_id) references tenants on delete cascade,
  constraint messages_conversation_fk foreign key (tenant_id, conversation_id)
    references conversations (tenant_id, id) on delete cascade,
  constraint messages_role_known check (role in ('customer', 'assistant', 'agent')),
  constraint messages_status_known check (status in
    ('queued', 'retrieving', 'completing', 'scoring', 'answered', 'withheld', 'escalated', 'failed', 'cancelled')),
  constraint messages_status_of_customer check ((role = 'customer') = (status is not null))
) partition by range (created_at);
create index messages_tenant_id_idx on messages (tenant_id, created_at);
create index messages_conversation_idx on messages (conversation_id, seq);
create table messages_default partition of messages default;

-- Creates the monthly partitions of a table from `first` on; existing ones are left alone.
create procedure create_month_partitions(parent text, first date, months integer)
language plpgsql
as $$
declare
  start date;
begin
  for ahead in 0 .. months - 1 loop
    start := date_trunc('month', first) + make_interval(months => ahead);
    execute format(
      'create table if not exists %I partition of %I for values from (%L) to (%L)',
      parent || '_' || to_char(start, 'YYYY_MM'), parent, start || ' 00:00:00+00',
      (start + interval '1 month')::date || ' 00:00:00+00');
  end loop;
end $$;
call create_month_partitions('messages', current_date, 13);
call isolate_tenant('messages');

-- What a stream of one message sent, in order; a client resumes from any position.
create table message_stream (
  tenant_id uuid not null,
  conversation_id uuid not null,
  message_id uuid not null,
  position integer not null,
  event text not null,
  data jsonb not null,
  created_at timestamptz not null default now(),
  primary key (message_id, position),
  constraint message_stream_conversation_fk foreign key (tenant_id, conversation_id)
    references conversations (tenant_id, id) on delete cascade,
  constraint message_stream_event_known check (event in ('status', 'delta', 'reset', 'done'))
);
create index message_stream_tenant_idx on message_stream (tenant_id, conversation_id);
call isolate_tenant('message_stream');

create table escalations (
  id uuid primary key,
  tenant_id uuid not null,
  conversation_id uuid not null,
  message_id uuid not null,
  reason text not null,
  evidence jsonb not null default '{}',
  status text not null default 'open',
  created_at timestamptz not null default now(),
  resolved_at timestamptz,
  constraint escalations_conversation_fk foreign key (tenant_id, conversation_id)
    references conversations (tenant_id, id) on delete cascade,
  constraint escalations_reason_known check (reason in
    ('low_confidence', 'customer_request', 'high_stakes', 'no_answer', 'model_failure')),
  constraint escalations_status_known check (status in ('open', 'assigned', 'resolved'))
);
create unique index escalations_one_open on escalations (conversation_id) where status <> 'resolved';
create index escalations_tenant_idx on escalations (tenant_id, created_at desc);
create index escalations_message_idx on escalations (message_id);
create index escalations_conversation_idx on escalations (conversation_id, id);
call isolate_tenant('escalations');
