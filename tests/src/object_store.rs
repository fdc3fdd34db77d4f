//! A server that speaks S3, for a test's own buckets.

use std::{process::Command, time::Duration};

use crate::{Process, eventually, free_port, setting};

const BUCKET: &str = "knowledge";

pub struct ObjectStore {
    _process: Process,
    _folder: tempfile::TempDir,
    url: String,
}

impl ObjectStore {
    /// Starts it, with an empty bucket.
    pub async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let mut command = Command::new(setting("S3_SERVER"));
        command.arg(port.to_string()).current_dir(folder.path());
        let process = Process::start("s3", folder.path(), command);
        let url = format!("http://127.0.0.1:{port}");
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build().expect("a client");
        eventually("a bucket", Duration::from_secs(60), async || {
            let made = client.put(format!("{url}/{BUCKET}")).send().await.ok()?;
            made.status().is_success().then_some(())
        })
        .await;
        Self { _process: process, _folder: folder, url }
    }

    /// A place in the bucket.
    pub fn uri(&self, path: &str) -> String {
        format!("s3://{BUCKET}/{path}")
    }

    /// What a process needs to reach it.
    pub fn settings(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT", self.url.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// Names of the objects below a place.
    pub async fn objects(&self, path: &str) -> Vec<String> {
        let url = format!("{}/{BUCKET}?list-type=2&prefix={path}", self.url);
        let list = reqwest::get(url).await.expect("a list").text().await.expect("a list");
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }
}
