//! A database per test, copied from a template that was migrated from nothing.

use std::time::Duration;

use jobs::store::{Database, DatabaseConfig};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{eventually, setting};

/// Serialises the making of templates and copies among test processes.
const TEMPLATE_LOCK: i64 = 0x006d_6361_7465_7374;

/// Dropped with the test.
pub struct TestDatabase {
    admin_url: String,
    name: String,
    url: String,
    owner: OnceCell<PgPool>,
}

impl TestDatabase {
    pub async fn create() -> Self {
        Self::create_on(setting("TEST_DATABASE_URL")).await
    }

    /// On another server than the tests'.
    pub async fn create_on(admin_url: String) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let template = template_name();
        let mut admin = PgConnection::connect(&admin_url).await.expect("the server answers");
        sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut admin).await.unwrap();
        let exists: bool = sqlx::query_scalar("select exists(select from pg_database where datname = $1)")
            .bind(&template)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if !exists {
            // Under another name until it is whole: a test killed half-way leaves no broken template.
            let draft = format!("{template}_draft");
            run(&mut admin, format!("drop database if exists {draft} with (force)")).await;
            run(&mut admin, format!("create database {draft}")).await;
            jobs::store::migrate(&with_database(&admin_url, &draft))
                .await
                .expect("migrations apply to an empty database");
            run(&mut admin, format!("alter database {draft} rename to {template}")).await;
        }
        run(&mut admin, format!("create database {name} template {template}")).await;
        let url = with_database(&admin_url, &name);
        Self { admin_url, name, url, owner: OnceCell::new() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// As the login role, past row-level security: for looking at what the product did.
    pub async fn owner(&self) -> &PgPool {
        self.owner.get_or_init(async || PgPool::connect(&self.url).await.expect("the test's database answers")).await
    }

    /// As the product sees it.
    pub fn connect(&self) -> Database {
        Database::connect(&DatabaseConfig { url: self.url.clone(), max_connections: 10 }).expect("a usable URL")
    }

    /// Removes every unfinished job, for tests that run no worker.
    pub async fn discard_jobs(&self) {
        sqlx::query("delete from jobs").execute(self.owner().await).await.expect("the jobs are deleted");
    }

    /// Has a schedule's job run now, and waits at most `limit` for it.
    pub async fn run_schedule(&self, name: &'static str, limit: Duration) {
        let set = "update schedules set next_at = now(), last_success_at = null where name = $1";
        sqlx::query(set).bind(name).execute(self.owner().await).await.expect("a schedule");
        eventually(&format!("{name} succeeds"), limit, async || {
            let done = "select last_success_at is not null from schedules where name = $1";
            let done: bool =
                sqlx::query_scalar(done).bind(name).fetch_one(self.owner().await).await.expect("a schedule");
            done.then_some(())
        })
        .await;
    }

    /// The number a query returns.
    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.owner().await).await.expect(query)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (self.admin_url.clone(), self.name.clone());
        // On a thread of its own: a runtime cannot be started, or blocked on, inside the test's.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
                let mut admin = PgConnection::connect(&admin_url).await?;
                admin.execute(AssertSqlSafe(format!("drop database if exists {name} with (force)"))).await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(_))) {
            eprintln!("database {} was not dropped", self.name);
        }
    }
}

async fn run(admin: &mut PgConnection, statement: String) {
    admin.execute(AssertSqlSafe(statement.clone())).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Named by the migrations, so that a changed one makes a new template.
fn template_name() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    format!("template_{:016x}", hasher.finish())
}

fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("the server's URL names a database");
    format!("{server}/{name}")
}
