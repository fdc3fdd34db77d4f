//! What a tenant's name, limits and settings may be.

use jobs::domain::{plan::LimitOverrides, settings::Settings};

use crate::problem::Fields;

/// Longest of the settings' texts, in characters: a name, a tone, an instruction to the model.
const MAX_NAME: usize = 200;
const MAX_PROMPT: usize = 20_000;
/// Most words a tenant may add to those that make a question high-stakes.
const MAX_HIGH_STAKES: usize = 500;
/// Most tokens of a completion.
const MAX_TOKENS: u32 = 128_000;

pub fn name(fields: &mut Fields, name: &str) {
    fields.not_blank("name", name, MAX_NAME);
}

pub fn limits(fields: &mut Fields, limits: LimitOverrides) {
    if let Some(limit) = limits.negative() {
        fields.refuse(format!("limits.{limit}"), "must not be negative");
    }
}

pub fn settings(fields: &mut Fields, settings: &Settings) {
    let Settings { brand, tone, prompt, model, confidence } = settings;
    for (field, text, most) in [
        ("settings.brand", brand, MAX_NAME),
        ("settings.tone", tone, MAX_NAME),
        ("settings.prompt", prompt, MAX_PROMPT),
        ("settings.model.model", &model.model, MAX_NAME),
    ] {
        if let Some(text) = text {
            fields.text(field, text, 1..=most);
        }
    }
    if model.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        fields.refuse("settings.model.temperature", "must be 0 to 2");
    }
    if model.max_tokens.is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens)) {
        fields.refuse("settings.model.max_tokens", format!("must be 1 to {MAX_TOKENS}"));
    }
    if confidence.high_stakes.len() > MAX_HIGH_STAKES {
        fields.refuse("settings.confidence.high_stakes", format!("has more than {MAX_HIGH_STAKES} words"));
    }
    for (at, word) in confidence.high_stakes.iter().enumerate() {
        fields.text(&format!("settings.confidence.high_stakes[{at}]"), word, 1..=MAX_NAME);
    }
}
