-- What accepting a message that opens a conversation writes, in one transaction: the floor for the api's own rate.
\set tenant random(1, 50)
begin;
with tenant as (select id from tenants where name = 'Floor ' || :tenant),
conversation as (
  insert into conversations (id, tenant_id, last_seq) select gen_random_uuid(), id, 1 from tenant returning id, tenant_id)
select id as conversation, tenant_id as owner from conversation \gset
insert into events (id, tenant_id, type, conversation_id, data)
  values (gen_random_uuid(), :'owner', 'conversation.created', :'conversation', '{}');
select gen_random_uuid() as message \gset
insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, status)
  values (:'message', now(), :'owner', :'conversation', 1, 'customer',
    'How many days do I have to return a jacket that I have not worn?', 'queued');
insert into jobs (id, tenant_id, kind, key, payload, subject, run_at, relay_at) values
  (gen_random_uuid(), :'owner', 'floor', 'i:' || :'message', '{"n": 1}', :'message', now(), now() + interval '5 seconds'),
  (gen_random_uuid(), :'owner', 'floor', 'e:' || :'message', '{"n": 1}', null, now(), now() + interval '5 seconds');
insert into usage_months as u (tenant_id, month, messages, conversations)
  values (:'owner', date_trunc('month', now() at time zone 'utc')::date, 1, 1)
  on conflict (tenant_id, month) do update set messages = u.messages + 1, conversations = u.conversations + 1;
end;
