-- After the migrations: the seven points that the schema promises of messages and api_logs. Each is tried or looked up, all that
-- fail are named in one error, and what was inserted for it is rolled back. Needs a login that may switch to metachat_system.
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f migrations/checks/schema.sql     or     metachat check schema
begin;
set local role metachat_system;
do $$
declare
  tenant uuid := gen_random_uuid();
  conversation uuid := gen_random_uuid();
  nobody uuid := gen_random_uuid();
  failed text[] := '{}';
  found bigint;
  action "char";
begin
  -- Before anything is tried: what a missing key lets in below is no orphan of anybody's.
  select (select count(*) from messages m where not exists (select from tenants t where t.id = m.tenant_id)
      or not exists (select from conversations c where c.tenant_id = m.tenant_id and c.id = m.conversation_id))
    + (select count(*) from api_logs l
      where l.tenant_id is not null and not exists (select from tenants t where t.id = l.tenant_id))
  into found;
  if found > 0 then
    failed := failed || format('6: %s rows are orphans; checks/orphans.sql lists them', found);
  end if;

  insert into tenants (id, name, callback_secret) values (tenant, 'schema check', '');
  insert into conversations (id, tenant_id) values (conversation, tenant);

  begin
    insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
    values (gen_random_uuid(), now(), tenant, conversation, 1, 'agent', 'schema check');
  exception when others then
    failed := failed || format('1: a valid message is refused: %s', sqlerrm);
  end;

  begin
    insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
    values (gen_random_uuid(), now(), nobody, conversation, 2, 'agent', 'schema check');
    failed := failed || '2: a message of an unknown tenant is accepted'::text;
  exception
    -- By the key to tenants or by the composite one to conversations: which is asked first is not for the schema to say.
    when foreign_key_violation then null;
    when others then
      failed := failed || format('2: an unknown tenant is not refused as a foreign key violation: %s', sqlerrm);
  end;

  begin
    delete from tenants where id = tenant;
    select count(*) into found from messages where tenant_id = tenant;
    if found > 0 then
      failed := failed || format('3: a deleted tenant leaves %s of its messages', found);
    end if;
  exception when others then
    failed := failed || format('3: a tenant with messages cannot be deleted: %s', sqlerrm);
  end;

  select confdeltype into action from pg_constraint
  where conrelid = 'messages'::regclass and conname = 'messages_tenant_fk' and confrelid = 'tenants'::regclass and convalidated;
  if action is distinct from 'c' then
    failed := failed || format('4: messages_tenant_fk does not cascade (%s)', coalesce(action::text, 'missing'));
  end if;

  -- On every partition too: a query with a time reads one of those, not the parent.
  if not exists (
    select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indexrelid = to_regclass('messages_tenant_id_idx') and i.indrelid = 'messages'::regclass
      and i.indisvalid and a.attname = 'tenant_id'
  ) then
    failed := failed || '5: messages_tenant_id_idx is missing, not valid, or does not begin with tenant_id'::text;
  end if;

  select confdeltype into action from pg_constraint
  where conrelid = 'api_logs'::regclass and conname = 'api_logs_tenant_fk' and confrelid = 'tenants'::regclass and convalidated;
  if action is distinct from 'n' then
    failed := failed || format('7: api_logs_tenant_fk does not set null (%s)', coalesce(action::text, 'missing'));
  end if;

  if failed <> '{}' then
    raise exception using message = 'the schema breaks its promises: ' || array_to_string(failed, '; ');
  end if;
  raise notice 'all seven points hold';
end $$;
rollback;
