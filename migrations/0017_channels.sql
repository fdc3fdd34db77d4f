-- Where a tenant's customers write outside of the API: an account at a provider.
create table channels (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  type text not null,
  name text not null,
  -- What the provider knows the account by: `account_id`.
  config jsonb not null,
  created_at timestamptz not null default now(),
  constraint channels_tenant_id_id_unique unique (tenant_id, id),
  constraint channels_type_known check (type in ('whatsapp', 'messenger'))
);
create unique index channels_account_unique on channels (tenant_id, type, (config ->> 'account_id'));
call isolate_tenant('channels');

create table channel_secrets (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  channel_id uuid not null,
  name text not null,
  -- Sealed, as are all secrets: jobs/src/domain/secret.rs.
  value bytea not null,
  last_four text not null,
  set_at timestamptz not null default now(),
  constraint channel_secrets_channel_fk foreign key (tenant_id, channel_id)
    references channels (tenant_id, id) on delete cascade,
  constraint channel_secrets_name_known check (name in ('access_token', 'app_secret', 'verify_token')),
  constraint channel_secrets_one_of_a_name unique (tenant_id, channel_id, name)
);
call isolate_tenant('channel_secrets');
