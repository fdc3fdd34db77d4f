//! What a completion costs, from a table kept as data.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

/// Micro-USD per million tokens.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Price {
    input: i64,
    output: i64,
}

static PRICES: LazyLock<HashMap<String, Price>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../data/prices.json")).expect("prices.json is valid"));

/// Cost in micro-USD, rounded up; 0 for a model the table does not list, such as a self-hosted one.
pub fn cost_microusd(model: &str, prompt_tokens: u32, completion_tokens: u32) -> i64 {
    let Some(price) = PRICES.get(model) else { return 0 };
    let total = i64::from(prompt_tokens) * price.input + i64::from(completion_tokens) * price.output;
    (total + 999_999) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_rounded_up_to_a_micro_usd() {
        // 0.15 USD in, 0.60 USD out per million tokens.
        assert_eq!(cost_microusd("openai/gpt-4o-mini", 1_000_000, 1_000_000), 750_000);
        assert_eq!(cost_microusd("openai/gpt-4o-mini", 1, 0), 1);
        assert_eq!(cost_microusd("openai/unlisted", 1_000, 1_000), 0);
        assert_eq!(cost_microusd("metachat/extractive", 1_000, 1_000), 0);
    }
}
