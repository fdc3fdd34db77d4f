//! The tenants that send the load, each with the sample documents and limits that do not get in the way.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::client::{Client, DocumentStatus, NewTenant};
use crate::samples;

/// Beyond what any run sends.
const NO_LIMIT: u32 = 100_000_000;

/// Returns one client per tenant once every document is searchable.
pub(super) async fn launch(admin: &Client, tenants: u32, documents_timeout: Duration) -> anyhow::Result<Vec<Client>> {
    let started = Instant::now();
    let mut fleet = Vec::new();
    let mut documents = Vec::new();
    for number in 1..=tenants {
        let tenant = admin.create_tenant(&unlimited(number)).await.context("cannot create a tenant")?;
        let client = admin.with_key(&tenant.api_key.key);
        for sample in samples::documents() {
            documents.push((client.clone(), sample.upload(&client).await?.id));
        }
        fleet.push(client);
    }
    println!("{tenants} tenants created, waiting for {} documents to become searchable …", documents.len());
    try_join_all(documents.iter().map(|(client, id)| searchable(client, id, documents_timeout))).await?;
    println!("ready after {:.1} s", started.elapsed().as_secs_f64());
    Ok(fleet)
}

pub(crate) fn unlimited(number: u32) -> NewTenant {
    let limits = json!({
        "conversations": NO_LIMIT, "documents": NO_LIMIT, "messages": NO_LIMIT,
        "api_calls": NO_LIMIT, "requests_per_minute": NO_LIMIT, "messages_per_minute": NO_LIMIT,
    });
    NewTenant { name: format!("Steady load {number}"), plan: Some("pro".into()), limits: Some(limits), settings: None }
}

async fn searchable(client: &Client, id: &str, limit: Duration) -> anyhow::Result<()> {
    let document = client.settled_document(id, limit).await?;
    if document.status == DocumentStatus::Failed {
        bail!("{} failed: {}", document.name, document.reason.unwrap_or_default());
    }
    Ok(())
}
