create table documents (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  name text not null,
  content_type text not null,
  tags text[] not null default '{}',
  language text,
  status text not null default 'pending',
  -- Why the document failed, in words for its owner.
  reason text,
  version integer not null default 1,
  -- The version that searches may return; switching it is what makes new chunks visible.
  ready_version integer,
  size_bytes bigint not null,
  -- SHA-256 of the uploaded bytes, which the object store holds.
  checksum bytea,
  chunk_count integer not null default 0,
  -- How far the version has come: passages of it that are stored, and pages of it they reach. No total before it was read.
  chunks_done integer not null default 0,
  chunks_total integer,
  pages_done integer,
  pages_total integer,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint documents_tenant_id_id_unique unique (tenant_id, id),
  constraint documents_status_known check (status in ('pending', 'processing', 'ready', 'failed', 'stale', 'deleting')),
  constraint documents_reason_when_failed check (status <> 'failed' or reason is not null)
);
create index documents_tenant_idx on documents (tenant_id, id desc);
-- For the upkeep of the search index.
create index documents_updated_idx on documents (updated_at);
call isolate_tenant('documents');

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
