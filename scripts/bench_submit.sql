-- What accepting a message that opens a conversation writes, in one transaction: the floor for the api's own rate.
\set n random(1, 50)
begin;
with owner as (select id from tenants where name = 'Floor ' || :n),
opened as (
  insert into conversations (id, tenant_id, last_seq) select gen_random_uuid(), id, 1 from owner returning id, tenant_id)
select id as conversation, tenant_id as owner, gen_random_uuid() as message from opened \gset
insert into events (id, tenant_id, type, conversation_id, data)
  values (gen_random_uuid(), cast(:owner as uuid), 'conversation.created', cast(:conversation as uuid), '{}');
insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, status)
  values (cast(:message as uuid), now(), cast(:owner as uuid), cast(:conversation as uuid), 1, 'customer',
    'How many days do I have to return a jacket that I have not worn?', 'queued');
insert into jobs (id, tenant_id, kind, key, payload, subject, run_at, relay_at) values
  (gen_random_uuid(), cast(:owner as uuid), 'floor ingest', cast(:message as text), '{"n": 1}', cast(:message as uuid),
    now(), now() + interval '1 hour'),
  (gen_random_uuid(), cast(:owner as uuid), 'floor emit', cast(:message as text), '{"n": 1}', null,
    now(), now() + interval '1 hour');
insert into usage_months as u (tenant_id, month, messages, conversations)
  values (cast(:owner as uuid), cast(date_trunc('month', now() at time zone 'utc') as date), 1, 1)
  on conflict (tenant_id, month) do update set messages = u.messages + 1, conversations = u.conversations + 1;
end;
