create table documents (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  -- How far the newest version has come.
  status text not null default 'pending',
  -- Why it failed, in words for its owner.
  reason text,
  -- The newest version; an upload that was overtaken by a later one never becomes it.
  version integer not null default 1,
  -- The highest number that an upload was given. It takes its number before its bytes are stored, and the row comes after.
  last_version integer not null default 1,
  -- The version that searches may return; switching it is what makes new chunks visible.
  ready_version integer,
  -- Chunks of that version.
  chunk_count integer not null default 0,
  -- How far the newest version has come: passages of it that are stored, and pages of it they reach. No total before it was
  -- read.
  chunks_done integer not null default 0,
  chunks_total integer,
  pages_done integer,
  pages_total integer,
  -- The embedding model whose table holds those passages.
  chunks_model text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint documents_tenant_id_id_unique unique (tenant_id, id),
  constraint documents_status_known check (status in ('pending', 'processing', 'ready', 'failed', 'stale', 'deleting')),
  constraint documents_reason_when_failed check (status <> 'failed' or reason is not null),
  constraint documents_version_counted check (version <= last_version)
);
create index documents_tenant_idx on documents (tenant_id, id desc);
-- For the upkeep of the search index.
create index documents_updated_idx on documents (updated_at);
call isolate_tenant('documents');

-- What was uploaded: the newest version of a document, and the one that searches return as long as that is an older one. Its
-- bytes are in the object store.
create table document_versions (
  tenant_id uuid not null references tenants on delete cascade,
  document_id uuid not null,
  version integer not null,
  name text not null,
  content_type text not null,
  tags text[] not null default '{}',
  language text,
  size_bytes bigint not null,
  -- SHA-256 of the bytes.
  checksum bytea not null,
  -- Its chunks by embedding model, of the models whose tables hold it whole.
  models jsonb not null default '{}',
  -- It cannot be embedded anew, for want of its bytes: a switch to another model does not wait for it, and loses it.
  lost boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (tenant_id, document_id, version),
  constraint document_versions_document_fk foreign key (tenant_id, document_id)
    references documents (tenant_id, id) on delete cascade,
  constraint document_versions_checksum_length check (octet_length(checksum) = 32)
);
-- For uploads of what is there already.
create index document_versions_checksum_idx on document_versions (tenant_id, checksum);
call isolate_tenant('document_versions');

-- Embedding models that workers have loaded. Which one a tenant searches is said by its row.
create table embedding_models (
  -- {name}@{beginning of the model file's SHA-256}
  id text primary key,
  name text not null,
  dimension integer not null,
  -- When a worker last began with it.
  loaded_at timestamptz not null default now()
);
alter table embedding_models enable row level security;
alter table embedding_models force row level security;
create policy tenant_isolation on embedding_models to metachat_app using (false);
create policy system_access on embedding_models to metachat_system using (true) with check (true);
grant select, insert, update on embedding_models to metachat_system;

-- A search through the API: asked by a request, answered by a retrieve job.
create table searches (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  query text not null,
  parameters jsonb not null,
  results jsonb,
  -- Who found what, with scores and times.
  retrieval jsonb,
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index searches_tenant_idx on searches (tenant_id, created_at);
call isolate_tenant('searches');
