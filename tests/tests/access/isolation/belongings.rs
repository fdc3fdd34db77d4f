//! One of each thing a tenant can own.

use std::{collections::BTreeMap, time::Duration};

use loadtest::{
    client::{Client, Contact, Submission, Tenant, TextUpload},
    receiver::{Behaviour, Receiver},
};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Stack, eventually};

use super::super::{Browser, ask, key, person, text};

const LIMIT: Duration = Duration::from_secs(60);
/// Stands in the tenant's document and nowhere else.
pub const SECRET: &str = "quaggafern";
/// Every collection of which a path names one, with the prefix of its ids.
const COLLECTIONS: [(&str, &str); 14] = [
    ("/v1/api-keys", "key"),
    ("/v1/channels", "chan"),
    ("/v1/contacts", "cust"),
    ("/v1/conversations", "conv"),
    ("/v1/documents", "doc"),
    ("/v1/erasures", "era"),
    ("/v1/jobs/dead", "job"),
    ("/v1/jobs/dead/replays", "rpl"),
    ("/v1/messages", "msg"),
    ("/v1/operator-keys", "opk"),
    ("/v1/sessions", "ses"),
    ("/v1/tenants", "tnt"),
    ("/v1/users", "usr"),
    ("/v1/webhook-endpoints", "whe"),
];

pub struct Belongings {
    pub tenant: String,
    pub client: Client,
    /// Of a person of the team who is logged in.
    pub browser: Browser,
    /// By collection.
    pub ids: BTreeMap<&'static str, String>,
}

impl Belongings {
    /// Ids that name nothing, for requests that are refused before they are looked up.
    pub fn unmade(tenant: &Tenant, client: Client, stack: &Stack) -> Self {
        let ids = COLLECTIONS.map(|(collection, prefix)| (collection, format!("{prefix}_{:032x}", 7)));
        Self { tenant: tenant.id.clone(), client, browser: Browser::new(stack), ids: ids.into() }
    }

    /// `name` tells the two apart where an id is the tenant's own choice.
    pub async fn make(stack: &Stack, name: &str) -> Self {
        let (tenant, client) = stack.tenant(name).await;
        let (user, mut browser) = person(stack, &tenant.id, &format!("{name}@example.com"), "owner").await;
        let (_, session) = browser.get("/v1/session").await;
        let (api_key, _) = key(&client, &["read"]).await;
        let own = Some(json!({ "key": format!("sk-of-{name}-0123456789") }));
        assert_eq!(ask(&client, Method::PUT, "/v1/tenant/model-key", own).await.0, 200);

        let channel = json!({ "type": "whatsapp", "name": name, "account_id": "106540352242922" });
        let (status, channel) = ask(&client, Method::POST, "/v1/channels", Some(channel)).await;
        assert_eq!(status, 201, "{channel}");
        let channel = text(&channel, "id").to_owned();
        let own = Some(json!({ "app_secret": format!("secret-of-{name}-0123456789") }));
        assert_eq!(ask(&client, Method::PATCH, &format!("/v1/channels/{channel}/secrets"), own).await.0, 200);

        // Refuses what it gets, so that deliveries to it end among the dead.
        let receiver = Receiver::start().await.expect("a port");
        receiver.set_behaviour(Behaviour::answering([400]));
        let endpoint = client.create_endpoint(&receiver.url(), &["message.received"]).await.expect("an endpoint");
        let own = if name == "a" { SECRET } else { "nothing" };
        let document = TextUpload {
            name: "Notes".into(),
            content_type: "text/plain".into(),
            text: format!("The {own} grows in the shade of the north wall."),
            ..TextUpload::default()
        };
        let document = client.upload_text(&document).await.expect("a document");
        client.settled_document(&document.id, LIMIT).await.expect("a document that was read");

        let submit = async |contact: &str| {
            let contact = Contact { id: format!("{contact}-{name}"), name: None };
            let submission = Submission { contact: Some(contact), ..Submission::new("Where does the fern grow?") };
            let message = client.submit(&submission).await.expect("accepted").message;
            client.final_message(&message.id, LIMIT).await.expect("an end")
        };
        let gone = submit("gone").await;
        let (status, erasure) = ask(&client, Method::DELETE, &format!("/v1/contacts/gone-{name}"), None).await;
        assert_eq!(status, 202, "{erasure} after {gone:?}");
        let message = submit("here").await;
        stack.idle(LIMIT).await;

        let dead = async || {
            let (_, dead) = ask(&client, Method::GET, "/v1/jobs/dead", None).await;
            dead["data"].as_array().and_then(|jobs| jobs.first()).map(|job: &Value| text(job, "id").to_owned())
        };
        eventually("a dead job", LIMIT, dead).await;
        let (status, replay) = ask(&client, Method::POST, "/v1/jobs/dead/replays", Some(json!({ "all": true }))).await;
        assert_eq!(status, 202, "{replay}");
        stack.idle(LIMIT).await;
        let dead = eventually("a dead job that died again", LIMIT, dead).await;

        let ids = BTreeMap::from([
            ("/v1/api-keys", text(&api_key, "id").to_owned()),
            ("/v1/channels", channel),
            ("/v1/contacts", format!("here-{name}")),
            ("/v1/conversations", message.conversation_id.clone()),
            ("/v1/documents", document.id),
            ("/v1/erasures", text(&erasure, "erasure_id").to_owned()),
            ("/v1/jobs/dead", dead),
            ("/v1/jobs/dead/replays", text(&replay, "id").to_owned()),
            ("/v1/messages", message.id),
            ("/v1/operator-keys", format!("opk_{:032x}", 7)),
            ("/v1/sessions", text(&session, "session_id").to_owned()),
            ("/v1/tenants", tenant.id.clone()),
            ("/v1/users", user),
            ("/v1/webhook-endpoints", endpoint.id),
        ]);
        Self { tenant: tenant.id, client, browser, ids }
    }
}
