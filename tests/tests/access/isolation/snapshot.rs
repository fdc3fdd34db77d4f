//! All rows of a tenant, by table: how many, and a checksum over them.

use std::{collections::BTreeMap, time::Duration};

use sqlx::AssertSqlSafe;
use tests::{Stack, eventually};
use uuid::Uuid;

/// Without attempts to log in, which anybody may make and which are counted against the person they are for.
const OWNED: &str = "select c.relname::text from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and c.relname <> 'login_attempts' order by 1";

pub type Rows = BTreeMap<String, (i64, String)>;

pub async fn snapshot(stack: &Stack, tenant: &str) -> Rows {
    let owner = stack.database.owner().await;
    let tenant = Uuid::parse_str(tenant.trim_start_matches("tnt_")).expect("an id");
    let tables: Vec<String> = sqlx::query_scalar(OWNED).fetch_all(owner).await.expect("the catalogue");
    let owned = tables.iter().map(|table| (table.as_str(), "tenant_id")).chain([("tenants", "id")]);
    let mut rows = Rows::new();
    for (table, column) in owned {
        let sum = format!(
            "select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t where {column} = $1"
        );
        let sum = sqlx::query_as(AssertSqlSafe(sum)).bind(tenant).fetch_one(owner).await.expect("a checksum");
        rows.insert(table.to_owned(), sum);
    }
    rows
}

/// The rows when what is written late (the request log, counts, times of last use) has been written.
pub async fn settled(stack: &Stack, tenant: &str) -> Rows {
    let mut last = snapshot(stack, tenant).await;
    eventually("no row changes for three seconds", Duration::from_secs(60), async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = snapshot(stack, tenant).await;
        let same = now == last;
        last = now;
        same.then(|| last.clone())
    })
    .await
}
