-- A tenant's own key of the model provider, used in place of the worker's.
create table model_keys (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  -- Sealed, as are all secrets: jobs/src/domain/secret.rs.
  key bytea not null,
  last_four text not null,
  set_at timestamptz not null default now(),
  constraint model_keys_one_of_a_tenant unique (tenant_id)
);
call isolate_tenant('model_keys');
