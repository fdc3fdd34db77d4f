//! A tenant's own key of the model provider: used for its messages alone, never shown, sealed anew with the others.

use loadtest::fake_model::{self, FakeModel};
use reqwest::Method;

use super::*;

const OWN: &str = "sk-own-0123456789-abcd";
const WORKERS: &str = "sk-of-the-worker-0123456789";

async fn ask(stack: &Stack, client: &Client, method: Method, body: Option<Value>) -> (u16, Value) {
    let request = anybody().request(method, format!("{}/v1/tenant/model-key", stack.api_url)).bearer_auth(client.key());
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// The key that a message of the tenant's is completed with.
async fn paid_with(model: &FakeModel, client: &Client) -> String {
    let message = client.submit(&Submission::new("Is anybody there today?")).await.unwrap().message;
    client.final_message(&message.id, LIMIT).await.unwrap();
    let requests = model.requests();
    let authorization = requests.last().unwrap().authorization.clone().unwrap();
    authorization.strip_prefix("Bearer ").unwrap().to_owned()
}

#[tokio::test]
async fn a_tenants_own_key_pays_for_its_messages_and_is_never_shown() {
    let model = FakeModel::start(fake_model::Config::default()).await.unwrap();
    let builder = Stack::builder().env("SECRETS_KEYS", OLD).env("LLM_BASE_URL", model.base_url());
    let mut stack = builder.env("LLM_API_KEY", WORKERS).start().await;
    let ((_, own), (_, other)) = (stack.tenant("Own").await, stack.tenant("Other").await);
    assert_eq!(ask(&stack, &own, Method::GET, None).await.0, 404);
    assert_eq!(paid_with(&model, &own).await, WORKERS);
    for refused in ["short", "sk-with a blank in it", &"k".repeat(513)] {
        assert_eq!(ask(&stack, &own, Method::PUT, Some(json!({ "key": refused }))).await.0, 422, "{refused}");
    }
    let (status, shown) = ask(&stack, &own, Method::PUT, Some(json!({ "key": OWN }))).await;
    assert_eq!((status, &shown["last_four"]), (200, &json!("abcd")), "{shown}");
    assert_eq!(ask(&stack, &own, Method::GET, None).await, (200, shown));
    assert_eq!(paid_with(&model, &own).await, OWN);
    assert_eq!(paid_with(&model, &other).await, WORKERS);
    assert_eq!(ask(&stack, &other, Method::GET, None).await.0, 404);
    stack.idle(LIMIT).await;
    assert_eq!(tables_that_hold(&stack, &[OWN]).await, [""; 0]);

    let rotated = metachat(&stack, &format!("{NEW},{OLD}"), "rotate");
    assert!(rotated.status.success(), "{rotated:?}");
    restart(&mut stack, NEW).await;
    assert_eq!(paid_with(&model, &own).await, OWN);
    assert_eq!(ask(&stack, &own, Method::DELETE, None).await.0, 204);
    assert_eq!(ask(&stack, &own, Method::DELETE, None).await.0, 404);
    assert_eq!(paid_with(&model, &own).await, WORKERS);
    let told = "select count(*) from audit_log where action in ('model_key.set', 'model_key.removed')";
    assert_eq!(stack.database.count(told).await, 2);
    for process in [stack.api.as_ref().unwrap(), &stack.workers[0].process] {
        assert!(!process.log().contains(OWN));
    }
    stack.finish().await;
}
