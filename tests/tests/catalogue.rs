//! What the catalogue says of every table: whose rows it holds, who sees them, and how they go.

use jobs::store::Scope;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::TestDatabase;
use uuid::Uuid;

/// Tables of nobody's, with the reason.
const OWNERLESS: [(&str, &str); 5] = [
    ("_sqlx_migrations", "the migrator's own"),
    ("embedding_models", "what the workers have loaded"),
    ("login_attempts", "counted before it is known whether there is such an account"),
    ("operator_keys", "the operator belongs to no tenant"),
    ("schedules", "when the platform's jobs are due"),
];
/// Tables whose tenant may go before them, with the reason.
const OUTLIVING: [(&str, &str); 1] = [("erasures", "the receipt outlives the tenant it is about")];
/// Tables with a column called status or state that no list of values fits, with the reason.
const OPEN_STATUS: [(&str, &str); 1] = [("webhook_attempts", "the HTTP status that the receiver answered")];

async fn names(test: &TestDatabase, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(test.owner().await).await.expect(query)
}

/// Those of the found that no list of exceptions names; an exception that is not found is out of date.
fn unexplained(found: Vec<String>, exceptions: &[(&str, &str)]) -> Vec<String> {
    for (name, reason) in exceptions {
        assert!(found.iter().any(|found| found == name), "{name} is no exception any more ({reason})");
    }
    found.into_iter().filter(|found| !exceptions.iter().any(|(name, _)| name == found)).collect()
}

const TABLES: &str = "select c.relname::text from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1";

#[tokio::test]
async fn every_table_belongs_to_tenants_or_says_why_not() {
    let test = TestDatabase::create().await;
    let ownerless = "select c.relname::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and c.relname <> 'tenants'
          and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')";
    assert_eq!(unexplained(names(&test, ownerless).await, &OWNERLESS), Vec::<String>::new());
    assert!(names(&test, TABLES).await.len() > 20, "the catalogue was read");
}

#[tokio::test]
async fn every_table_is_isolated_by_forced_policies_of_the_two_roles() {
    let test = TestDatabase::create().await;
    let open = "select c.relname::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and (not c.relrowsecurity or not c.relforcerowsecurity
            or array(select p.polname || ' to ' || array_to_string(array(
                 select rolname from pg_roles where oid = any(p.polroles)), ',')
               from pg_policy p where p.polrelid = c.oid order by 1)
             <> array['system_access to metachat_system', 'tenant_isolation to metachat_app'])";
    let exempt = [("_sqlx_migrations", "the migrator's own, and granted to nobody")];
    assert_eq!(unexplained(names(&test, open).await, &exempt), Vec::<String>::new());

    // A policy is of no use to those who may go around it.
    let privileged = "select rolname::text from pg_roles where rolname in ('metachat_app', 'metachat_system')
        and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb)";
    assert_eq!(names(&test, privileged).await, Vec::<String>::new());
    let owned = "select c.relname::text from pg_class c join pg_roles r on r.oid = c.relowner
        where r.rolname in ('metachat_app', 'metachat_system')";
    assert_eq!(names(&test, owned).await, Vec::<String>::new());
    // Policies stand on the parents: a partition is reached through its parent or not at all.
    let reachable = "select c.relname || ' by ' || r.rolname from pg_class c, pg_roles r
        where c.relispartition and c.relkind = 'r' and r.rolname in ('metachat_app', 'metachat_system')
          and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate')";
    assert_eq!(names(&test, reachable).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_table_of_tenants_has_the_index_and_the_key_to_them() {
    let test = TestDatabase::create().await;
    // Partitions too: those of a table share its indexes only where they are attached.
    let unindexed = "select c.relname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and a.attname = 'tenant_id' and c.relkind in ('r', 'p')
          and not exists (select from pg_index i
            where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indisvalid and i.indpred is null)";
    assert_eq!(names(&test, unindexed).await, Vec::<String>::new());

    // Straight to tenants, or by a key that holds the tenant to a table that has one.
    let unbound = "with recursive owned as (
          select c.oid, c.relname, a.attnum from pg_attribute a join pg_class c on c.oid = a.attrelid
          where c.relnamespace = 'public'::regnamespace and a.attname = 'tenant_id' and c.relkind in ('r', 'p')
            and not c.relispartition
        ), bound as (
          select o.oid from owned o join pg_constraint k on k.conrelid = o.oid and k.contype = 'f' and k.convalidated
          where k.confrelid = 'tenants'::regclass and k.conkey = array[o.attnum] and k.confdeltype in ('c', 'n')
          union
          select o.oid from bound b join pg_constraint k on k.confrelid = b.oid and k.contype = 'f' and k.convalidated
            join owned o on o.oid = k.conrelid and o.attnum = any(k.conkey)
          where k.confdeltype = 'c'
        )
        select relname::text from owned where oid not in (select oid from bound)";
    assert_eq!(unexplained(names(&test, unbound).await, &OUTLIVING), Vec::<String>::new());

    // A key between two tables of tenants either holds the tenant, or its rows cannot be told apart by it.
    let crossing = "select k.conrelid::regclass || '.' || k.conname from pg_constraint k
        where k.contype = 'f' and k.conparentid = 0 and k.confrelid <> 'tenants'::regclass
          and exists (select from pg_attribute a where a.attrelid = k.confrelid and a.attname = 'tenant_id')
          and not exists (select from pg_attribute a
            where a.attrelid = k.conrelid and a.attname = 'tenant_id' and a.attnum = any(k.conkey))
        order by 1";
    assert_eq!(names(&test, crossing).await, Vec::<String>::new(), "a row may refer to another tenant's");
}

#[tokio::test]
async fn every_status_is_checked_and_every_table_has_a_primary_key() {
    let test = TestDatabase::create().await;
    let unchecked = "select c.relname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and a.attname in ('status', 'state') and not a.attisdropped
          and not exists (select from pg_constraint k
            where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum])";
    assert_eq!(unexplained(names(&test, unchecked).await, &OPEN_STATUS), Vec::<String>::new());
    // The erasure of a tenant goes by it.
    let keyless = "select c.relname::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)";
    assert_eq!(names(&test, keyless).await, Vec::<String>::new());
}

/// Every table holds a row of a tenant, as far as its columns can be filled without knowing it.
async fn seeded(test: &TestDatabase) -> (Uuid, PgConnection) {
    let (tenant, conversation) = (Uuid::now_v7(), Uuid::now_v7());
    let mut owner = PgConnection::connect(test.url()).await.unwrap();
    for statement in [
        "insert into tenants (id, name, callback_secret) values ($1, 'Here', 's')",
        "insert into conversations (id, tenant_id) values ($2, $1)",
        "insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
           values ($2, now(), $1, $2, 1, 'agent', 't')",
        "insert into documents (id, tenant_id) values ($2, $1)",
        "insert into document_versions (tenant_id, document_id, version, name, content_type, size_bytes, checksum)
           values ($1, $2, 1, 'n', 't', 1, sha256(''))",
        "insert into events (id, tenant_id, type, data, conversation_id) values ($2, $1, 't', '{}', $2)",
        "insert into jobs (id, tenant_id, kind, key, payload, run_at, relay_at)
           values ($2, $1, 'k', 'k', '{}', now(), now())",
        "insert into job_history (id, tenant_id, kind, key, attempt, outcome, created_at, run_at, started_at)
           values ($2, $1, 'k', 'k', 1, 'done', now(), now(), now())",
        "insert into dead_jobs (id, tenant_id, kind, key, payload, priority, attempt, cause, created_at)
           values ($2, $1, 'k', 'k', '{}', 5, 1, 'c', now())",
        "insert into api_logs (id, created_at, tenant_id, request_id, method, route, status, duration_us)
           values ($2, now(), $1, 'r', 'GET', '/', 200, 1)",
        "insert into erasures (id, tenant_id, scope, subject, requested_by, request_id)
           values ($2, $1, 'contact', 'c', 'tenant', 'r')",
        "insert into webhook_endpoints (id, tenant_id, url, event_types, secret) values ($2, $1, 'u', '{}', 's')",
        "insert into usage_months (tenant_id, month) select $1, now() where $2::uuid is not null",
        "insert into idempotency_keys (id, tenant_id, audience, key, fingerprint, status, response)
           values ($2, $1, 'tenant', 'k', '', 202, '{}')",
        "insert into searches (id, tenant_id, query, parameters) values ($2, $1, 'q', '{}')",
        "insert into stripe_events (id, type, payload, tenant_id) values ($2::text, 't', '{}', $1)",
    ] {
        let inserted = sqlx::query(statement).bind(tenant).bind(conversation).execute(&mut owner).await;
        inserted.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    (tenant, owner)
}

#[tokio::test]
async fn without_a_tenant_no_row_of_any_table_is_seen_and_none_can_be_written() {
    let test = TestDatabase::create().await;
    let tables = names(&test, TABLES).await;
    let (tenant, mut owner) = seeded(&test).await;
    let mut seeded = 0;
    for setting in ["", "app.tenant_id = ''", "app.tenant_id = '00000000-0000-0000-0000-000000000000'"] {
        for table in &tables {
            let held: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
                .fetch_one(&mut owner)
                .await
                .unwrap();
            seeded += usize::from(held > 0);
            let mut app = owner.begin().await.unwrap();
            sqlx::query("set local role metachat_app").execute(&mut *app).await.unwrap();
            if !setting.is_empty() {
                sqlx::query(AssertSqlSafe(format!("set local {setting}"))).execute(&mut *app).await.unwrap();
            }
            // Refused outright is as good as seen by nobody.
            let count = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")));
            let seen: i64 = count.fetch_one(&mut *app).await.unwrap_or_default();
            assert_eq!(seen, 0, "{table} with {setting:?}");
            app.rollback().await.unwrap();
        }
    }
    assert!(seeded >= 3 * 16, "{seeded} looks found rows behind the policies");

    // Every row is written back as it is, so nothing but a policy or a missing grant can refuse it.
    for table in tables.iter().filter(|table| *table != "_sqlx_migrations") {
        let mut app = owner.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create temp table copied on commit drop as table {table}")))
            .execute(&mut *app)
            .await
            .unwrap();
        sqlx::query("grant select on copied to metachat_app").execute(&mut *app).await.unwrap();
        let held: i64 = sqlx::query_scalar("select count(*) from copied").fetch_one(&mut *app).await.unwrap();
        sqlx::query("set local role metachat_app").execute(&mut *app).await.unwrap();
        let written =
            sqlx::query(AssertSqlSafe(format!("insert into {table} select * from copied"))).execute(&mut *app).await;
        if held > 0 {
            let refused = written.expect_err(table).to_string();
            assert!(
                refused.contains("row-level security") || refused.contains("permission denied"),
                "{table}: {refused}"
            );
        }
        app.rollback().await.unwrap();
        for change in [format!("update {table} set tenant_id = tenant_id"), format!("delete from {table}")] {
            let mut app = owner.begin().await.unwrap();
            sqlx::query("set local role metachat_app").execute(&mut *app).await.unwrap();
            let changed = sqlx::query(AssertSqlSafe(change.clone())).execute(&mut *app).await;
            assert_eq!(changed.map_or(0, |changed| changed.rows_affected()), 0, "{change}");
            app.rollback().await.unwrap();
        }
    }

    // The tenant itself sees its rows, so what hid them above is the missing tenant.
    let database = test.connect();
    let mut tx = database.tenant(jobs::domain::ids::TenantId::from_uuid(tenant)).await.unwrap();
    for table in ["conversations", "messages", "events", "jobs", "api_logs", "erasures"] {
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(tx.connection())
            .await
            .unwrap();
        assert_eq!(seen, 1, "{table}");
    }
    let theirs = sqlx::query("insert into usage_months (tenant_id, month) values (gen_random_uuid(), now())");
    let refused = theirs.execute(tx.connection()).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
}
