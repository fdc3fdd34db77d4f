//! A real Prometheus scrapes a loaded installation: every panel of the dashboards shows something, every rule is evaluated.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use loadtest::{
    client::{Client, NewTenant, Submission, TextUpload},
    collector::Collector,
    fake_model::{self, FakeModel, Fault},
    receiver::{Behaviour, Receiver},
};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tests::{Process, Stack, eventually, free_port};
use tokio::time::{Instant, sleep};

const LIMIT: Duration = Duration::from_secs(60);
/// Prometheus has seen every series often enough for a rate within this.
const SCRAPED: Duration = Duration::from_secs(60);

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

#[test]
fn the_configuration_and_the_alerts_hold() {
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]] {
        let checked = Command::new("promtool").args(arguments).current_dir(dashboards()).output().expect("promtool");
        assert!(checked.status.success(), "{arguments:?}: {checked:?}");
    }
}

struct Prometheus {
    _process: Process,
    url: String,
}

impl Prometheus {
    /// Scrapes a stack every second.
    async fn start(stack: &Stack) -> Self {
        let folder = stack.folder();
        let targets =
            |urls: &[&str]| json!(urls.iter().map(|url| url.trim_start_matches("http://")).collect::<Vec<_>>());
        let job =
            |name: &str, urls: &[&str]| json!({ "job_name": name, "static_configs": [{ "targets": targets(urls) }] });
        let workers: Vec<&str> = stack.workers.iter().map(|worker| worker.probes.as_str()).collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s" },
            "rule_files": [dashboards().join("alerts.yml")],
            "scrape_configs": [job("api", &[&stack.api_url]), job("worker", &workers)],
        });
        // Every JSON is YAML.
        fs::write(folder.join("prometheus.yml"), config.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder);
        let process = Process::start("prometheus", &folder, command);
        Self { _process: process, url: format!("http://{address}") }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let url = Url::parse_with_params(&format!("{}{path}", self.url), query).expect("a URL");
        client.get(url).send().await.ok()?.json().await.ok()
    }

    /// How many series a query finds, or what is wrong with it.
    async fn series(&self, query: &str) -> Result<usize, String> {
        let answer = self.get("/api/v1/query", &[("query", query)]).await.ok_or("no answer")?;
        let found = answer["data"]["result"].as_array().map(Vec::len);
        found.ok_or_else(|| answer["error"].as_str().unwrap_or("no result").to_owned())
    }
}

/// Something of everything that a panel shows: answers, failures, escalations, documents, searches, streams, refused and
/// failing deliveries, limits reached, erasures.
async fn load(stack: &Stack, model: &FakeModel, round: usize) {
    meets_its_limits(stack, round).await;
    let (_, client) = stack.tenant(&format!("Fellmark {round}")).await;
    let receiver = Receiver::start().await.unwrap();
    let refusing = Receiver::start().await.unwrap();
    refusing.set_behaviour(Behaviour::answering([400]));
    client.create_endpoint(&receiver.url(), &[]).await.unwrap();
    client.create_endpoint(&refusing.url(), &["message.sent"]).await.unwrap();
    let document = TextUpload {
        name: "Returns".into(),
        content_type: "text/markdown".into(),
        text: "# Returns\n\nYou can return a tent within 60 days.".into(),
        ..TextUpload::default()
    };
    let document = client.upload_text(&document).await.unwrap();
    client.settled_document(&document.id, LIMIT).await.unwrap();
    answered(&client, "How long can I return a tent?").await;
    answered(&client, "I want to talk to a human").await;
    model.script([Fault::ServerError]);
    answered(&client, "Can I return a tent that I have used?").await;
    client.call(Method::POST, "/v1/search", Some(&json!({ "query": "tent" }))).await.unwrap();
    stack.idle(LIMIT).await;
}

/// A tenant that may hold no document and make few requests.
async fn meets_its_limits(stack: &Stack, round: usize) {
    let limits = Some(json!({ "documents": 0, "requests_per_minute": 5 }));
    let small = NewTenant { name: format!("Hut {round}"), plan: Some("free".into()), limits, settings: None };
    let (tenant, client) = stack.tenant_with(small).await;
    let (mut beyond_plan, mut too_fast) = (0, 0);
    let note = TextUpload {
        name: "Note".into(),
        text: "A note.".into(),
        content_type: "text/plain".into(),
        ..TextUpload::default()
    };
    for _ in 0..8 {
        match client.upload_text(&note).await.unwrap_err().status() {
            Some(402) => beyond_plan += 1,
            Some(429) => too_fast += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(beyond_plan > 0 && too_fast > 0, "{beyond_plan} {too_fast}");
    stack.admin().call(Method::DELETE, &format!("/v1/tenants/{}", tenant.id), None).await.unwrap();
}

async fn answered(client: &Client, question: &str) {
    let message = client.submit(&Submission::new(question)).await.unwrap().message;
    client.final_message(&message.id, LIMIT).await.unwrap();
}

/// The queries of a dashboard by panel, with Grafana's variables filled in.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let inner = panels.iter().flat_map(|panel| panel["panels"].as_array().into_iter().flatten());
    let mut found = Vec::new();
    for panel in panels.iter().chain(inner) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "1m").replace("$__range", "5m");
            let query = query.replace("$kind", ".*").replace("$route", ".*");
            found.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    found
}

#[tokio::test]
async fn every_panel_shows_something_under_load_and_every_rule_is_evaluated() {
    let model = FakeModel::start(fake_model::Config::default()).await.unwrap();
    let collector = Collector::start().await.unwrap();
    let stack = Stack::builder()
        .env("LLM_BASE_URL", model.base_url())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await;
    let prometheus = Prometheus::start(&stack).await;
    load(&stack, &model, 1).await;
    load(&stack, &model, 2).await;

    let mut queries: Vec<_> = all_dashboards().iter().flat_map(queries).collect();
    assert!(queries.len() > 150, "{}", queries.len());
    let deadline = Instant::now() + SCRAPED;
    while !queries.is_empty() && Instant::now() < deadline {
        let mut empty = Vec::new();
        for (panel, query) in queries {
            let series = prometheus.series(&query).await.unwrap_or_else(|error| panic!("{panel}: {query}: {error}"));
            if series == 0 {
                empty.push((panel, query));
            }
        }
        queries = empty;
        sleep(Duration::from_secs(1)).await;
    }
    assert!(queries.is_empty(), "panels that show nothing: {queries:#?}");

    eventually("every rule is evaluated", SCRAPED, async || {
        let answer = prometheus.get("/api/v1/rules", &[]).await?;
        let groups = answer["data"]["groups"].as_array()?;
        let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        let failed = rules.iter().find(|rule| rule["health"] == "err");
        assert!(failed.is_none(), "{failed:?}");
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    })
    .await;
}

fn all_dashboards() -> Vec<Value> {
    let files = fs::read_dir(dashboards().join("grafana")).unwrap().map(|entry| entry.unwrap().path());
    let dashboards = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    dashboards.map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).expect("JSON")).collect()
}
