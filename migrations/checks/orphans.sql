-- Before the foreign keys: would they hold for the rows that are there? One line per key that messages and api_logs are to
-- have, with up to ten of the rows that violate it. Changes nothing, and needs no foreign key, role or policy.
--   psql "$DATABASE_URL" -f migrations/checks/orphans.sql     or     metachat check orphans
begin;
-- A row that row-level security hides is an error here, never a row that is not counted.
do $$
begin
  if to_regrole('metachat_system') is not null and pg_has_role(to_regrole('metachat_system'), 'member')
    and has_table_privilege('metachat_system', to_regclass('messages'), 'select')
    and has_table_privilege('metachat_system', to_regclass('api_logs'), 'select')
    and has_table_privilege('metachat_system', to_regclass('conversations'), 'select')
    and has_table_privilege('metachat_system', to_regclass('tenants'), 'select')
  then
    set local role metachat_system;
  else
    set local row_security = off;
  end if;
end $$;

with
message_tenants as materialized (
  select m.id from messages m where not exists (select from tenants t where t.id = m.tenant_id)
),
message_conversations as materialized (
  select m.id from messages m
  where not exists (select from conversations c where c.tenant_id = m.tenant_id and c.id = m.conversation_id)
),
log_tenants as materialized (
  select l.id from api_logs l
  where l.tenant_id is not null and not exists (select from tenants t where t.id = l.tenant_id)
),
checked (position, "table", key, "rows", orphans, samples) as (
  select 1, 'messages', 'tenant_id -> tenants', (select count(*) from messages), (select count(*) from message_tenants),
    array(select id::text from message_tenants order by id limit 10)
  union all
  select 2, 'messages', '(tenant_id, conversation_id) -> conversations', (select count(*) from messages),
    (select count(*) from message_conversations), array(select id::text from message_conversations order by id limit 10)
  union all
  select 3, 'api_logs', 'tenant_id -> tenants', (select count(*) from api_logs), (select count(*) from log_tenants),
    array(select id::text from log_tenants order by id limit 10)
)
select "table", key, "rows", orphans, samples,
  case orphans when 0 then 'WILL PASS' else 'WILL FAIL' end as verdict
from checked order by position;
rollback;
