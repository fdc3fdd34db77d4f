-- The operator's keys beside the one in the environment. They belong to no tenant, and no tenant can see them.
create table operator_keys (
  id uuid primary key,
  name text not null,
  -- SHA-256 of the whole key.
  hash bytea not null,
  last_four text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  replaced_by uuid references operator_keys on delete set null,
  constraint operator_keys_hash_unique unique (hash),
  constraint operator_keys_hash_length check (octet_length(hash) = 32),
  constraint operator_keys_name_length check (char_length(name) between 1 and 200)
);
alter table operator_keys enable row level security;
alter table operator_keys force row level security;
create policy tenant_isolation on operator_keys to metachat_app using (false);
create policy system_access on operator_keys to metachat_system using (true) with check (true);
grant select, insert, update on operator_keys to metachat_system;

-- People of a tenant's team, who log in to the console.
create table users (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  -- In lower case.
  email text not null,
  name text not null,
  role text not null,
  enabled boolean not null default true,
  -- Argon2id, as a PHC string; null until the invitation is accepted.
  password_hash text,
  password_changed_at timestamptz,
  -- SHA-256 of the token that sets a password, once.
  invitation_hash bytea,
  invitation_expires_at timestamptz,
  created_at timestamptz not null default now(),
  constraint users_tenant_id_id_unique unique (tenant_id, id),
  constraint users_email_unique unique (tenant_id, email),
  constraint users_invitation_unique unique (invitation_hash),
  constraint users_role_known check (role in ('owner', 'admin', 'member')),
  constraint users_email_length check (char_length(email) between 3 and 254),
  constraint users_name_length check (char_length(name) between 1 and 200),
  constraint users_invitation_expires check ((invitation_hash is null) = (invitation_expires_at is null))
);
call isolate_tenant('users');

-- Log-ins. A row outlives its session by 30 days: it tells which devices are known.
create table sessions (
  id uuid primary key,
  tenant_id uuid not null,
  user_id uuid not null,
  -- SHA-256 of the cookie's token.
  token_hash bytea not null,
  -- SHA-256 of the token by which a device is known again at its next log-in.
  device_hash bytea not null,
  user_agent text,
  created_at timestamptz not null default now(),
  -- To the minute.
  last_used_at timestamptz not null default now(),
  -- However much the session is used.
  expires_at timestamptz not null,
  ended_at timestamptz,
  constraint sessions_token_unique unique (token_hash),
  constraint sessions_token_length check (octet_length(token_hash) = 32),
  constraint sessions_user_fk foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index sessions_user_idx on sessions (tenant_id, user_id, id desc);
create index sessions_expires_idx on sessions (expires_at);
call isolate_tenant('sessions');

-- Attempts to log in that did not succeed, by what is slowed down: SHA-256 of an account, a device or an address. Accounts
-- that do not exist are counted as those that do.
create table login_attempts (
  subject bytea primary key,
  attempts integer not null,
  last_at timestamptz not null,
  blocked_until timestamptz not null
);
create index login_attempts_last_idx on login_attempts (last_at);
alter table login_attempts enable row level security;
alter table login_attempts force row level security;
create policy tenant_isolation on login_attempts to metachat_app using (false);
create policy system_access on login_attempts to metachat_system using (true) with check (true);
grant select, insert, update, delete on login_attempts to metachat_system;

-- Changes of credentials, users and settings, each written in the transaction that makes it. tenant_id is null for what
-- belongs to the operator alone.
create table audit_log (
  id uuid primary key,
  tenant_id uuid references tenants on delete cascade,
  actor_kind text not null,
  -- Null for the operator's key of the environment.
  actor_id uuid,
  action text not null,
  target text not null,
  before jsonb,
  after jsonb,
  request_id text not null,
  created_at timestamptz not null default now(),
  constraint audit_log_actor_known check (actor_kind in ('operator', 'key', 'user'))
);
create index audit_log_tenant_idx on audit_log (tenant_id, id desc);
call isolate_tenant('audit_log');
-- Nobody rewrites it: rows go with their tenant only.
revoke update, delete on audit_log from metachat_app, metachat_system;
