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
  chunk_count integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint documents_tenant_id_id_unique unique (tenant_id, id),
  constraint documents_status_known check (status in ('pending', 'processing', 'ready', 'failed', 'deleting')),
  constraint documents_reason_when_failed check (status <> 'failed' or reason is not null)
);
create index documents_tenant_idx on documents (tenant_id, id desc);
-- For the upkeep of the search index.
create index documents_updated_idx on documents (updated_at);
call isolate_tenant('documents');

-- The uploaded bytes, kept so that a retry or a new embedding model always has them.
create table document_originals (
  tenant_id uuid not null,
  document_id uuid not null,
  version integer not null,
  bytes bytea not null,
  primary key (document_id, version),
  constraint document_originals_document_fk foreign key (tenant_id, document_id)
    references documents (tenant_id, id) on delete cascade
);
alter table document_originals alter column bytes set storage external;
create index document_originals_tenant_idx on document_originals (tenant_id, document_id);
call isolate_tenant('document_originals');

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
