-- One row per request to the API, written in batches. A deleted tenant's requests stay, without its name.
create table api_logs (
  -- UUIDv7; created_at is the time held in it, so a look-up by id names the partition as well.
  id uuid not null,
  created_at timestamptz not null,
  tenant_id uuid,
  api_key_id uuid,
  request_id text not null,
  method text not null,
  -- As described, with its parameters' names: /v1/messages/{id}.
  route text not null,
  status smallint not null,
  duration_us bigint not null,
  primary key (id, created_at),
  constraint api_logs_tenant_fk foreign key (tenant_id) references tenants on delete set null,
  constraint api_logs_status_known check (status between 100 and 599)
) partition by range (created_at);
create index api_logs_tenant_id_idx on api_logs (tenant_id, created_at);
create table api_logs_default partition of api_logs default;
call create_month_partitions('api_logs', current_date, 13);
call isolate_tenant('api_logs');
