//! `metachat jobs …` as a process.

use std::process::{Command, Output, Stdio};

use tests::{eventually, setting};

use super::*;

fn metachat(database_url: &str, arguments: &[&str]) -> Output {
    Command::new(format!("{}/metachat", setting("METACHAT_BIN_DIR")))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .output()
        .expect("metachat starts")
}

/// Standard output of a command that succeeds.
fn text(database_url: &str, arguments: &[&str]) -> String {
    let output = metachat(database_url, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(database_url: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(database_url, &[arguments, &["--json"]].concat())).unwrap()
}

/// Exit code and standard error of a command that fails.
fn failure(database_url: &str, arguments: &[&str]) -> (i32, String) {
    let output = metachat(database_url, arguments);
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn the_operator_sees_and_replays_the_jobs_of_all_tenants_and_of_the_platform() {
    let stack = Stack::start().await;
    let url = stack.database.url();
    let (tenant, _) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    sqlx::query("insert into stripe_events (id, type, payload) values ('evt_1', 'noise', $1)")
        .bind(json!({ "id": "evt_1", "type": "noise", "created": 1, "data": { "object": {} } }))
        .execute(stack.database.owner().await)
        .await
        .unwrap();
    let stripe = Dead {
        tenant: None,
        kind: "process_stripe_event",
        payload: json!({ "event": "evt_1" }),
        cause: "price\u{1b}[31m is unknown",
        minutes_ago: 1,
    };
    let stripe = stripe.bury(&stack.database).await.to_string();
    bury(&stack.database, 6, || Dead::harmless(tenant, "answered 503")).await;

    let list = text(url, &["jobs", "list"]);
    assert_eq!(list.lines().count(), 8, "{list}");
    assert!(list.lines().nth(1).unwrap().contains(&stripe) && list.contains("(platform)"), "{list}");
    assert!(!list.contains('\u{1b}'), "a cause does not steer the terminal");
    let first = json_of(url, &["jobs", "list", "--limit", "4"]);
    assert_eq!(ids(&first).len(), 4);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&json_of(url, &["jobs", "list", "--limit", "4", "--cursor", cursor])).len(), 3);
    let tenants = ["jobs", "list", "--tenant", &tenant.to_string(), "--cause", "503", "--since", "1h", "--until", "2m"];
    assert_eq!(ids(&json_of(url, &tenants)).len(), 6);
    assert_eq!(ids(&json_of(url, &["jobs", "list", "--until", "1h"])).len(), 0);

    assert!(text(url, &["jobs", "show", &stripe]).contains("evt_1"));
    assert_eq!(json_of(url, &["jobs", "show", &stripe])["tenant"], Value::Null);
    let stats = json_of(url, &["jobs", "stats"]);
    let of = |kind| stats["data"].as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap().clone();
    assert_eq!((&of("emit_event")["dead"], &of("process_stripe_event")["dead"]), (&json!(6), &json!(1)));
    assert!(text(url, &["jobs", "stats", "--kind", "emit_event"]).contains("emit_event"));

    text(url, &["jobs", "replay", &stripe]);
    eventually("the Stripe event is processed", LIMIT, async || {
        let processed = "select count(*) from stripe_events where outcome = 'ignored'";
        (stack.database.count(processed).await == 1).then_some(())
    })
    .await;
    let output = metachat(url, &["jobs", "replay", "--all", "--rate", "3", "--json"]);
    let replay: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!((&replay["state"], &replay["replayed"]), (&json!("finished"), &json!(6)), "{replay}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("replayed 3 of 6"), "progress is shown");
    stack.finish().await;
}

#[tokio::test]
async fn what_waits_and_what_is_gone_for_good() {
    let test = TestDatabase::create().await;
    let url = test.url();
    for kind in ["retrieve", "from_the_future"] {
        for _ in 0..3 {
            let dead = Dead { tenant: None, kind, payload: json!({}), cause: "tired", minutes_ago: 9 };
            dead.bury(&test).await;
        }
    }
    sqlx::query(
        "insert into jobs (id, kind, key, payload, run_at, relay_at, parked)
         select gen_random_uuid(), 'retrieve', n::text, '{}', now() + (n - 2) * interval '100 s', now(), n = 1
         from generate_series(1, 4) n",
    )
    .execute(test.owner().await)
    .await
    .unwrap();
    let stats = json_of(url, &["jobs", "stats"]);
    let rows = stats["data"].as_array().unwrap();
    let retrieve = rows.iter().find(|row| row["kind"] == "retrieve").unwrap();
    assert_eq!((&retrieve["unfinished"], &retrieve["due"]), (&json!(4), &json!(2)), "{retrieve}");
    assert_eq!((&retrieve["parked"], &retrieve["dead"]), (&json!(1), &json!(3)), "{retrieve}");
    assert!((99.0..200.0).contains(&retrieve["oldest_age_seconds"].as_f64().unwrap()), "{retrieve}");
    assert!(rows.iter().any(|row| row["kind"] == "from_the_future" && row["dead"] == 3), "{stats}");

    let (code, error) = failure(url, &["jobs", "discard", "--kind", "retrieve"]);
    assert_eq!((code, error.contains("--yes")), (2, true), "{error}");
    assert_eq!(test.count(DEAD).await, 6);
    assert_eq!(json_of(url, &["jobs", "discard", "--kind", "retrieve", "--yes"]), json!({ "discarded": 3 }));
    let one = json_of(url, &["jobs", "list", "--limit", "1"])["data"][0]["id"].as_str().unwrap().to_owned();
    text(url, &["jobs", "discard", &one]);
    assert_eq!(test.count(DEAD).await, 2);

    // No worker runs: a replay waits, can be looked at and cancelled.
    let replay = json_of(url, &["jobs", "replay", "--all", "--detach"]);
    let id = replay["id"].as_str().unwrap();
    assert_eq!((&replay["state"], &replay["matched"]), (&json!("running"), &json!(2)));
    let (code, error) = failure(url, &["jobs", "replay", "--all"]);
    assert_eq!((code, error.contains("another replay")), (1, true), "{error}");
    assert!(text(url, &["jobs", "show", id]).contains("running"));
    assert_eq!(json_of(url, &["jobs", "cancel", id])["state"], "cancelled");
}

#[tokio::test]
async fn bad_input_is_told_from_bad_luck() {
    let test = TestDatabase::create().await;
    let nobody = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6";
    let usage: [&[&str]; 16] = [
        &[],
        &["jobs"],
        &["jobs", "dream"],
        &["jobs", "list", "--tenant", "x"],
        &["jobs", "list", "--since", "yesterday"],
        &["jobs", "list", "--limit", "0"],
        &["jobs", "list", "--limit", "1001"],
        &["jobs", "list", "--cursor", "nonsense"],
        &["jobs", "show", "x"],
        &["jobs", "replay"],
        &["jobs", "replay", "--all", "--rate", "1001"],
        &["jobs", "replay", nobody, "--all"],
        &["jobs", "replay", "--all", "--kind", "retrieve"],
        &["jobs", "discard"],
        &["jobs", "discard", "--all"],
        &["jobs", "cancel", nobody],
    ];
    for arguments in usage {
        let (code, error) = failure(test.url(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(!error.is_empty() && !error.contains("panicked"), "{arguments:?}: {error}");
    }
    let luck: [&[&str]; 5] = [
        &["jobs", "show", nobody],
        &["jobs", "replay", nobody],
        &["jobs", "discard", nobody],
        &["jobs", "cancel", "rpl_01983f2ab3c47d1e9f00a1b2c3d4e5f6"],
        &["jobs", "stats", "--kind", "dream"],
    ];
    for arguments in luck {
        let (code, error) = failure(test.url(), arguments);
        assert_eq!((code, error.starts_with("metachat: there is no")), (1, true), "{arguments:?}: {error}");
    }
    for (url, code) in [("", 2), ("nonsense", 2), ("postgres://nobody@127.0.0.1:1/none", 1)] {
        let (got, error) = failure(url, &["jobs", "list"]);
        assert_eq!(got, code, "{url}: {error}");
    }
}
