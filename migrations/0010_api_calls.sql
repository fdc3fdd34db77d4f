-- Calls of the API per calendar month (UTC), added up in batches by each process. Apart from usage_months, whose rows are held
-- by transactions that accept work.
create table api_call_months (
  tenant_id uuid not null references tenants on delete cascade,
  month date not null,
  calls bigint not null,
  primary key (tenant_id, month)
);
call isolate_tenant('api_call_months');
