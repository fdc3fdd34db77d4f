//! Export: everything of a tenant or of a contact, line by line, and nothing else.

use std::{collections::BTreeMap, time::Duration};

use loadtest::client::{Client, Contact, Message, Submission, TextUpload};
use reqwest::Method;
use serde_json::{Value, json};
use tests::Stack;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(60);

async fn ask(client: &Client, contact: &str, text: &str) -> Message {
    let contact = Some(Contact { id: contact.into(), name: None });
    let submitted = client.submit(&Submission { contact, ..Submission::new(text) }).await.expect("accepted");
    client.final_message(&submitted.message.id, LIMIT).await.expect("a final message")
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a client")
}

/// The lines of an export; it is whole.
async fn export(client: &Client, path: &str) -> (String, Vec<Value>) {
    let url = format!("{}{path}", client.base_url());
    let response = http().get(url).bearer_auth(client.key()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.expect("a whole body");
    assert!(text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let end = lines.last().expect("a line");
    assert_eq!((&end["type"], &end["data"]["lines"]), (&"end".into(), &(lines.len() - 1).into()));
    (text, lines)
}

fn counts(lines: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line["type"].as_str().expect("a type")).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_tenant_takes_away_all_it_has_and_no_secret() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    let text = "# Tents\n\nThe tent is waterproof up to 5000 mm. ".repeat(40);
    let (name, content_type) = ("tents.md".to_owned(), "text/markdown".to_owned());
    let upload = TextUpload { name, content_type, text: text.clone(), ..TextUpload::default() };
    let document = client.upload_text(&upload).await.unwrap();
    client.settled_document(&document.id, LIMIT).await.unwrap();
    let endpoint = client.create_endpoint("http://127.0.0.1:1024/", &["billing.payment_failed"]).await.unwrap();
    let account = json!({ "type": "messenger", "name": "Page", "account_id": "4711" });
    let channel: Value = client.call(Method::POST, "/v1/channels", Some(&account)).await.unwrap().parse().unwrap();
    let secrets = format!("/v1/channels/{}/secrets", channel["id"].as_str().unwrap());
    let app_secret = "the-app-secret-of-the-page";
    client.call(Method::PATCH, &secrets, Some(&json!({ "app_secret": app_secret }))).await.unwrap();
    let answered = ask(&client, "one", "How waterproof is the tent?").await;
    let handed_over = ask(&client, "two", "May I speak to a human being please?").await;
    let theirs = ask(&neighbour, "one", "What do the neighbours ask?").await;
    stack.idle(LIMIT).await;
    // Beyond a page of conversations, and of one's lines.
    let owner = stack.database.owner().await;
    let uuid = |id: &str| Uuid::try_parse(id.rsplit_once('_').unwrap().1).unwrap();
    sqlx::query(
        "with begun as (
           insert into conversations (id, tenant_id, contact_id) select gen_random_uuid(), $1, 'many' from generate_series(1, 250)
           returning id)
         insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
         select gen_random_uuid(), now(), $1, id, 1, 'agent', 'Hello.' from begun",
    )
    .bind(uuid(&tenant.id))
    .execute(owner)
    .await
    .unwrap();
    sqlx::query(
        "insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
         select gen_random_uuid(), now(), $1, $2, n, 'agent', 'Line ' || n from generate_series(1001, 1350) n",
    )
    .bind(uuid(&tenant.id))
    .bind(uuid(&answered.conversation_id))
    .execute(owner)
    .await
    .unwrap();

    let (text_of_export, lines) = export(&client, "/v1/export").await;
    let counts = counts(&lines);
    for (kind, count) in [
        ("tenant", 1),
        ("usage", 1),
        ("document", 1),
        ("channel", 1),
        ("webhook_endpoint", 1),
        ("conversation", 252),
        ("transcript_line", 4 + 250 + 350),
        ("message", 2),
        ("escalation", 1),
        ("end", 1),
    ] {
        assert_eq!(counts.get(kind), Some(&count), "{kind} in {counts:?}");
    }
    assert_eq!(counts["event"] as i64, {
        let events: i64 = sqlx::query_scalar("select count(*) from events where tenant_id = $1")
            .bind(uuid(&tenant.id))
            .fetch_one(owner)
            .await
            .unwrap();
        events
    });
    let of = |kind: &str| lines.iter().find(|line| line["type"] == kind).expect(kind)["data"].clone();
    assert_eq!(of("document")["id"], document.id);
    assert_eq!(of("webhook_endpoint")["id"], endpoint.id);
    let message = lines.iter().find(|line| line["type"] == "message" && line["data"]["id"] == answered.id).unwrap();
    assert!(message["data"]["answer"]["sources"][0]["content"].as_str().unwrap().contains("5000 mm"), "{message}");
    assert!(text_of_export.contains(&handed_over.id));
    assert!(!text_of_export.contains(&theirs.id) && !text_of_export.contains("neighbours"));
    for secret in [&tenant.callback_secret, &tenant.api_key.key, &endpoint.secret, app_secret, "whsec_", "mk_live_"] {
        assert!(!text_of_export.contains(secret), "a secret is among it");
    }
    assert!(lines.iter().all(|line| line.get("original").is_none()));

    let (_, lines) = export(&client, "/v1/export?originals=true").await;
    let original =
        lines.iter().find(|line| line["type"] == "document").unwrap()["original"].as_str().unwrap().to_owned();
    let decoded = sqlx::query_scalar::<_, Vec<u8>>("select decode($1, 'base64')").bind(original).fetch_one(owner);
    assert_eq!(String::from_utf8(decoded.await.unwrap()).unwrap(), text);
    let odd = client.call(Method::GET, "/v1/export?originals=perhaps", None).await.unwrap_err();
    assert_eq!(odd.status(), Some(422));
    stack.finish().await;
}

#[tokio::test]
async fn a_large_original_comes_whole_in_pieces() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    // More than one piece, and not a multiple of three.
    let size = 2 * 3 * 256 * 1024 + 4_711;
    let form = |n: usize| char::from(b'a' + (n % 23) as u8);
    let text: String = (0..size).map(form).collect();
    let upload = TextUpload { name: "n".into(), content_type: "text/plain".into(), text, ..TextUpload::default() };
    client.upload_text(&upload).await.unwrap();
    let (_, lines) = export(&client, "/v1/export?originals=true").await;
    let original =
        lines.iter().find(|line| line["type"] == "document").unwrap()["original"].as_str().unwrap().to_owned();
    let owner = stack.database.owner().await;
    let decoded = sqlx::query_scalar::<_, Vec<u8>>("select decode($1, 'base64')").bind(original).fetch_one(owner);
    assert!(decoded.await.unwrap() == upload.text.as_bytes());
    stack.database.discard_jobs().await;
    stack.finish().await;
}

#[tokio::test]
async fn a_contact_is_exported_alone() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    let odd = "a/b ü";
    let theirs = ask(&client, odd, "May I speak to a human being please?").await;
    let others = ask(&client, "other", "Is anybody there?").await;
    stack.idle(LIMIT).await;
    let path = "/v1/contacts/a%2Fb%20%C3%BC/export";
    let (text, lines) = export(&client, path).await;
    let counts = counts(&lines);
    for (kind, count) in [("conversation", 1), ("transcript_line", 2), ("message", 1), ("escalation", 1)] {
        assert_eq!(counts.get(kind), Some(&count), "{kind} in {counts:?}");
    }
    assert!(counts["event"] >= 3 && !counts.contains_key("document") && !counts.contains_key("tenant"), "{counts:?}");
    assert!(text.contains(&theirs.id) && !text.contains(&others.conversation_id));
    let refused = neighbour.call(reqwest::Method::GET, path, None).await.unwrap_err();
    assert_eq!(refused.status(), Some(404));
    stack.finish().await;
}

/// A client that reads nothing holds a place, not memory, and places are few.
#[tokio::test]
async fn exports_are_bounded() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let uuid = Uuid::try_parse(tenant.id.rsplit_once('_').unwrap().1).unwrap();
    sqlx::query(
        "insert into events (id, tenant_id, type, data)
         select gen_random_uuid(), $1, 'message.sent', jsonb_build_object('text', repeat('x', 100000))
         from generate_series(1, 300)",
    )
    .bind(uuid)
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    let http = http();
    let begin = async || {
        http.get(format!("{}/v1/export", client.base_url())).bearer_auth(client.key()).send().await.expect("an answer")
    };
    let mut unread = Vec::new();
    for _ in 0..8 {
        let response = begin().await;
        assert_eq!(response.status(), 200);
        unread.push(response);
    }
    let refused = begin().await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(unread);
    tests::eventually("places are free again", LIMIT, async || (begin().await.status() == 200).then_some(())).await;
    stack.finish().await;
}
