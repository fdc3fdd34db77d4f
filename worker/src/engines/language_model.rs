//! Completions, by the provider a tenant's settings name.

mod extractive;
mod failures;
mod openai;
mod prompt;

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use jobs::{
    domain::settings::{ModelSettings, Provider},
    ports::{Completion, LanguageModel, ModelError, Prompt},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use url::Url;

use self::openai::OpenAi;

/// Model of tenants that chose none, unless the worker says otherwise.
const DEFAULT_MODEL: &str = "gpt-5-mini";

/// A blank value counts as absent: that is how Docker Compose hands on a variable that is not set.
#[derive(Debug, Clone, clap::Args)]
pub struct LanguageModelConfig {
    /// Base URL of an OpenAI-compatible API, such as https://api.openai.com/v1/. Without it answers quote the sources.
    #[arg(long, env = "LLM_BASE_URL")]
    pub llm_base_url: Option<String>,
    /// Key of that API; a local server may need none.
    #[arg(long, env = "LLM_API_KEY", hide_env_values = true)]
    pub llm_api_key: Option<SecretString>,
    /// Model of tenants that chose none.
    #[arg(long, env = "LLM_MODEL", default_value = DEFAULT_MODEL)]
    pub llm_model: String,
    /// Longest wait, in seconds, for the first piece of an answer; a model that reasons before it speaks may need more.
    #[arg(long, env = "LLM_FIRST_TOKEN_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=110))]
    pub llm_first_token_seconds: u64,
}

/// The extractive model, and an OpenAI-compatible endpoint when the worker has one.
pub struct ModelRouter {
    openai: Option<OpenAi>,
}

impl ModelRouter {
    pub fn connect(config: &LanguageModelConfig) -> anyhow::Result<Self> {
        let Some(base_url) = config.llm_base_url.as_deref().filter(|url| !url.trim().is_empty()) else {
            return Ok(Self { openai: None });
        };
        let base_url = Url::parse(base_url).with_context(|| format!("LLM_BASE_URL {base_url}"))?;
        let key = config.llm_api_key.as_ref().filter(|key| !key.expose_secret().trim().is_empty());
        let model = match config.llm_model.trim() {
            "" => DEFAULT_MODEL,
            model => model,
        };
        let first_token = Duration::from_secs(config.llm_first_token_seconds);
        Ok(Self { openai: Some(OpenAi::connect(&base_url, key, model, first_token)?) })
    }
}

#[async_trait]
impl LanguageModel for ModelRouter {
    fn takes_key(&self, settings: &ModelSettings) -> bool {
        self.openai.is_some() && settings.provider != Provider::Extractive
    }

    async fn complete(&self, prompt: Prompt, deltas: mpsc::Sender<String>) -> Result<Completion, ModelError> {
        match (prompt.settings.provider, &self.openai) {
            (Provider::Auto | Provider::Openai, Some(openai)) => openai.complete(prompt, deltas).await,
            (Provider::Openai, None) => Err(ModelError::Refused("this worker has no LLM_BASE_URL".into())),
            (Provider::Auto, None) | (Provider::Extractive, _) => Ok(extractive::complete(&prompt, &deltas).await),
        }
    }
}
