//! The operator's checks: orphans before the keys, the seven points after the migrations.

use std::process::{Command, Output};

use jobs::store::checks;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{TestDatabase, setting};

const TENANT_KEY: &str = "alter table messages drop constraint messages_tenant_fk";
const BOTH_KEYS: &str =
    "alter table messages drop constraint messages_tenant_fk, drop constraint messages_conversation_fk";

/// Takes a mechanism away from a fresh database; returns what the check says then.
async fn broken(statements: &[&str]) -> String {
    let test = TestDatabase::create().await;
    let mut owner = PgConnection::connect(test.url()).await.unwrap();
    for statement in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut owner).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    drop(owner);
    checks::schema(test.url()).await.expect_err("a mechanism is missing").to_string()
}

#[tokio::test]
async fn all_seven_points_hold_on_a_database_migrated_from_empty() {
    let test = TestDatabase::create().await;
    checks::schema(test.url()).await.unwrap();
    for table in ["tenants", "conversations", "messages"] {
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(test.owner().await)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}: what was tried is rolled back");
    }
}

#[tokio::test]
async fn each_point_fails_without_what_holds_it() {
    let recreated = |action: &str| {
        format!(
            "{TENANT_KEY}; alter table messages add constraint messages_tenant_fk foreign key (tenant_id)
             references tenants {action}"
        )
    };
    let restricted = recreated("on delete restrict");
    let nulled = recreated("on delete set null");
    for (point, statements) in [
        (
            "1: a valid message is refused",
            vec!["alter table messages add constraint nobody check (text <> 'schema check')"],
        ),
        ("2: a message of an unknown tenant is accepted", vec![BOTH_KEYS]),
        (
            "2: an unknown tenant is not refused as a foreign key violation",
            vec![
                BOTH_KEYS,
                "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$",
                "create trigger refuse before insert on messages for each row when (new.seq = 2) execute function refuse()",
            ],
        ),
        ("3: a deleted tenant leaves 1 of its messages", vec![BOTH_KEYS]),
        ("3: a tenant with messages cannot be deleted", vec![restricted.as_str()]),
        ("4: messages_tenant_fk does not cascade (n)", vec![nulled.as_str()]),
        ("4: messages_tenant_fk does not cascade (missing)", vec![TENANT_KEY]),
        ("5: messages_tenant_id_idx is missing", vec!["drop index messages_tenant_id_idx"]),
        (
            "5: messages_tenant_id_idx is missing, not valid, or does not begin with tenant_id",
            vec![
                "drop index messages_tenant_id_idx; create index messages_tenant_id_idx on messages (created_at, tenant_id)",
            ],
        ),
        (
            "6: 1 rows are orphans",
            vec![
                "alter table api_logs drop constraint api_logs_tenant_fk",
                "insert into api_logs (id, created_at, tenant_id, request_id, method, route, status, duration_us)
             values (gen_random_uuid(), now(), gen_random_uuid(), 'r', 'GET', '/', 200, 1)",
            ],
        ),
        (
            "7: api_logs_tenant_fk does not set null (c)",
            vec![
                "alter table api_logs drop constraint api_logs_tenant_fk;
             alter table api_logs add constraint api_logs_tenant_fk foreign key (tenant_id) references tenants
             on delete cascade",
            ],
        ),
    ] {
        let said = broken(&statements).await;
        assert!(said.contains(point), "{point:?} is not in {said:?}");
    }
}

/// One thing breaks one point: what is fine is not reported.
#[tokio::test]
async fn what_holds_is_not_reported() {
    let said = broken(&["drop index messages_tenant_id_idx"]).await;
    for point in ["1:", "2:", "3:", "4:", "6:", "7:"] {
        assert!(!said.contains(&format!(" {point}")), "{said}");
    }
}

fn metachat(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(std::path::Path::new(&setting("METACHAT_BIN_DIR")).join("metachat"));
    command.args(arguments).env("DATABASE_URL", url).output().expect("metachat starts")
}

/// A database as it was before its keys: orphans of each kind, and no policy, role or key that the check could lean on.
#[tokio::test]
async fn orphans_are_counted_listed_and_will_fail() {
    let test = TestDatabase::create().await;
    let sound = checks::orphans(test.url()).await.unwrap();
    assert_eq!(sound.len(), 3);
    assert!(sound.iter().all(|found| found.verdict == "WILL PASS" && found.orphans == 0), "{sound:?}");
    assert!(metachat(test.url(), &["check", "orphans"]).status.success());

    let seed = format!(
        "{BOTH_KEYS};
         alter table api_logs drop constraint api_logs_tenant_fk;
         insert into tenants (id, name, callback_secret) values
           ('00000000-0000-0000-0000-00000000000a', 'A', 's'), ('00000000-0000-0000-0000-00000000000b', 'B', 's');
         insert into conversations (id, tenant_id) values
           ('00000000-0000-0000-0000-0000000000ca', '00000000-0000-0000-0000-00000000000a');
         -- Sound; of nobody, twelve times; of another tenant than its conversation.
         insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
           select gen_random_uuid(), now(), '00000000-0000-0000-0000-00000000000a',
             '00000000-0000-0000-0000-0000000000ca', n, 'agent', 't' from generate_series(1, 3) n;
         insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
           select gen_random_uuid(), now(), gen_random_uuid(), '00000000-0000-0000-0000-0000000000ca', n, 'agent', 't'
           from generate_series(1, 12) n;
         insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text) values
           ('00000000-0000-0000-0000-0000000000b1', now(), '00000000-0000-0000-0000-00000000000b',
            '00000000-0000-0000-0000-0000000000ca', 9, 'agent', 't');
         insert into api_logs (id, created_at, tenant_id, request_id, method, route, status, duration_us) values
           ('00000000-0000-0000-0000-0000000000f1', now(), gen_random_uuid(), 'r', 'GET', '/', 200, 1),
           (gen_random_uuid(), now(), null, 'r', 'GET', '/', 200, 1);"
    );
    let mut owner = PgConnection::connect(test.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(seed.as_str())).execute(&mut owner).await.unwrap();
    let look = async || {
        let found = checks::orphans(test.url()).await.unwrap();
        let [tenants, conversations, logs] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((tenants.rows, tenants.orphans, tenants.samples.len()), (16, 12, 10), "samples are bounded");
        assert_eq!((conversations.orphans, conversations.samples.len()), (13, 10));
        assert_eq!((logs.rows, logs.orphans), (2, 1), "a log of nobody is no orphan");
        assert_eq!(logs.samples, ["00000000-0000-0000-0000-0000000000f1"]);
        assert!(found.iter().all(|found| found.verdict == "WILL FAIL"), "{found:?}");
    };
    look().await;

    let told = metachat(test.url(), &["check", "orphans", "--json"]);
    assert_eq!(told.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["data"][2]["verdict"], "WILL FAIL");
    assert_eq!(told["data"][2]["samples"][0], "00000000-0000-0000-0000-0000000000f1");
    let told = metachat(test.url(), &["check", "schema"]);
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{error}");
    assert!(error.contains("6: 14 rows are orphans"), "{error}");

    // As before our roles came: their grants and policies are gone, and the login role reads the tables.
    let bare = "revoke all on all tables in schema public from metachat_app, metachat_system;
        alter table messages disable row level security; alter table api_logs disable row level security;
        alter table tenants disable row level security; alter table conversations disable row level security;";
    sqlx::raw_sql(bare).execute(&mut owner).await.unwrap();
    look().await;
}
