use std::time::{Duration, Instant};

use jobs::{
    domain::{
        extractive::NOT_IN_DOCUMENTS,
        ids::DocumentId,
        message::{Role, Turn},
        retrieval::Source,
        settings::{ModelSettings, Provider},
    },
    ports::{Completion, LanguageModel, ModelError, Prompt},
};
use loadtest::fake_model::{self, FakeModel, Fault};
use tokio::sync::mpsc;
use worker::engines::language_model::{LanguageModelConfig, ModelRouter};

fn router(base_url: Option<&str>) -> ModelRouter {
    let config = LanguageModelConfig {
        llm_base_url: base_url.map(str::to_owned),
        llm_api_key: Some("sk-test".into()),
        llm_model: "gpt-5-mini".into(),
        llm_first_token_seconds: 1,
    };
    ModelRouter::connect(&config).unwrap()
}

fn prompt(provider: Provider) -> Prompt {
    Prompt {
        instructions: "You speak for Fellmark.".into(),
        history: vec![
            Turn { role: Role::Customer, text: "Hello".into() },
            Turn { role: Role::Assistant, text: "Good day!".into() },
        ],
        question: "How long can I return a tent?".into(),
        sources: vec![Source {
            document_id: DocumentId::generate(),
            document_name: "returns.md".into(),
            chunk_id: "c1".into(),
            content: "You can return a tent within 60 days.".into(),
            heading: Some("Returns".into()),
            page: Some(2),
            similarity: 0.7,
            score: 0.03,
            before: None,
            after: None,
        }],
        settings: ModelSettings { provider, temperature: Some(0.5), ..ModelSettings::default() },
        key: None,
        request_id: "msg_1:1".into(),
        traceparent: None,
    }
}

/// The completion and its pieces joined.
async fn complete(router: &ModelRouter, prompt: Prompt) -> (Result<Completion, ModelError>, String) {
    let (deltas, mut pieces) = mpsc::channel::<String>(4);
    let collect = async {
        let mut text = String::new();
        while let Some(piece) = pieces.recv().await {
            text.push_str(&piece);
        }
        text
    };
    tokio::join!(router.complete(prompt, deltas), collect)
}

#[tokio::test]
async fn without_a_provider_the_sources_are_quoted() {
    for (base_url, provider) in [(None, Provider::Auto), (Some(" "), Provider::Auto), (None, Provider::Extractive)] {
        let (completion, streamed) = complete(&router(base_url), prompt(provider)).await;
        let completion = completion.unwrap();
        assert_eq!(completion.text, "You can return a tent within 60 days [1].");
        assert_eq!((completion.model.as_str(), completion.usage.prompt_tokens), ("metachat/extractive", 0));
        assert_eq!(streamed, completion.text);
    }
    let unasked = Prompt { sources: Vec::new(), ..prompt(Provider::Auto) };
    assert_eq!(complete(&router(None), unasked).await.0.unwrap().text, NOT_IN_DOCUMENTS);
    let (refused, _) = complete(&router(None), prompt(Provider::Openai)).await;
    assert!(matches!(refused, Err(ModelError::Refused(_))));
}

#[tokio::test]
async fn a_provider_streams_and_counts() {
    let model = FakeModel::start(fake_model::Config::default()).await.unwrap();
    // Without the slash at the end, as people write it.
    let router = router(Some(model.base_url().trim_end_matches('/')));
    let (completion, streamed) = complete(&router, prompt(Provider::Auto)).await;
    let completion = completion.unwrap();
    assert!(completion.text.contains("60 days"), "{}", completion.text);
    assert_eq!(streamed, completion.text);
    assert_eq!(completion.model, "openai/gpt-5-mini");
    assert!(completion.usage.prompt_tokens > 0 && completion.usage.completion_tokens > 0);

    let request = &model.requests()[0];
    assert_eq!(request.authorization.as_deref(), Some("Bearer sk-test"));
    assert_eq!((&request.body["model"], &request.body["temperature"]), (&"gpt-5-mini".into(), &0.5.into()));
    let messages = request.body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let system = messages[0].to_string();
    assert!(system.contains("Fellmark") && system.contains("[1] returns.md, Returns, page 2"), "{system}");
}

#[tokio::test]
async fn a_closed_receiver_does_not_end_the_completion() {
    let model = FakeModel::start(fake_model::Config::default()).await.unwrap();
    let (deltas, pieces) = mpsc::channel(1);
    drop(pieces);
    let completion = router(Some(&model.base_url())).complete(prompt(Provider::Openai), deltas).await.unwrap();
    assert!(completion.text.contains("60 days"));
}

#[tokio::test]
async fn a_model_that_says_nothing_in_time_is_given_up() {
    let config = fake_model::Config { latency: Duration::from_secs(5), ..fake_model::Config::default() };
    let model = FakeModel::start(config).await.unwrap();
    let begun = Instant::now();
    let (completion, streamed) = complete(&router(Some(&model.base_url())), prompt(Provider::Auto)).await;
    assert!(matches!(completion, Err(ModelError::Unavailable { .. })), "{completion:?}");
    assert!(streamed.is_empty() && begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn faults_are_told_apart() {
    let model = FakeModel::start(fake_model::Config { retry_after: 9, ..fake_model::Config::default() }).await.unwrap();
    let router = router(Some(&model.base_url()));
    model.script([Fault::RateLimited, Fault::ServerError, Fault::Malformed]);
    let mut failures = Vec::new();
    for _ in 0..3 {
        failures.push(complete(&router, prompt(Provider::Auto)).await.0.unwrap_err());
    }
    let [ModelError::Unavailable { after, .. }, ModelError::Unavailable { .. }, ModelError::Unavailable { .. }] =
        &failures[..]
    else {
        panic!("{failures:?}");
    };
    assert_eq!(*after, Some(Duration::from_secs(9)));

    model.configure(|config| config.answer = Some(" ".into()));
    assert!(matches!(complete(&router, prompt(Provider::Auto)).await.0, Err(ModelError::Empty)));
    let wrong_path = format!("{}nowhere/", model.base_url());
    let refused = complete(&self::router(Some(&wrong_path)), prompt(Provider::Auto)).await.0;
    assert!(matches!(refused, Err(ModelError::Refused(_))), "{refused:?}");
    let absent = complete(&self::router(Some("http://127.0.0.1:1/v1")), prompt(Provider::Auto)).await.0;
    assert!(matches!(absent, Err(ModelError::Unavailable { .. })), "{absent:?}");
}
