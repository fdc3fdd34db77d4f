//! Completions, by the provider a tenant's settings name.

mod extractive;
mod failures;
mod openai;
mod prompt;

use async_trait::async_trait;
use jobs::{
    domain::settings::Provider,
    ports::{Completion, LanguageModel, ModelError, Prompt},
};
use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use self::openai::OpenAi;

#[derive(Debug, Clone, clap::Args)]
pub struct LanguageModelConfig {
    /// Base URL of an OpenAI-compatible API, such as https://api.openai.com/v1/. Without it answers quote the sources.
    #[arg(long, env = "LLM_BASE_URL")]
    pub llm_base_url: Option<Url>,
    /// Key of that API; a local server may need none.
    #[arg(long, env = "LLM_API_KEY", hide_env_values = true)]
    pub llm_api_key: Option<SecretString>,
    /// Model of tenants that chose none.
    #[arg(long, env = "LLM_MODEL", default_value = "gpt-5-mini")]
    pub llm_model: String,
}

/// The extractive model, and an OpenAI-compatible endpoint when the worker has one.
pub struct ModelRouter {
    openai: Option<OpenAi>,
}

impl ModelRouter {
    pub fn connect(config: &LanguageModelConfig) -> anyhow::Result<Self> {
        let openai = config
            .llm_base_url
            .as_ref()
            .map(|url| OpenAi::connect(url, config.llm_api_key.as_ref(), &config.llm_model));
        Ok(Self {
            openai: openai.transpose()?,
        })
    }
}

#[async_trait]
impl LanguageModel for ModelRouter {
    async fn complete(&self, prompt: Prompt, deltas: mpsc::Sender<String>) -> Result<Completion, ModelError> {
        match (prompt.settings.provider, &self.openai) {
            (Provider::Auto | Provider::Openai, Some(openai)) => openai.complete(prompt, deltas).await,
            (Provider::Openai, None) => Err(ModelError::Refused("this worker has no LLM_BASE_URL".into())),
            (Provider::Auto, None) | (Provider::Extractive, _) => Ok(extractive::complete(&prompt, &deltas).await),
        }
    }
}
