//! The scenarios that come with the binary, so that they run from any directory.

macro_rules! ship {
    ($($name:literal),+ $(,)?) => {
        /// Their names.
        pub const NAMES: &[&str] = &[$($name),+];

        /// The text of a scenario that comes with the binary.
        pub fn shipped(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../../scenarios/", $name, ".toml"))),)+
                _ => None,
            }
        }
    };
}

ship![
    "short",
    "steady",
    "ramp",
    "burst",
    "noisy-tenant",
    "long-conversations",
    "document-flood",
    "slow-model",
    "few-slots",
    "waiting-completions",
    "failing-model",
    "slow-webhooks",
    "dead-webhooks",
    "resumed-streams",
    "mixed",
];

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::*;

    #[test]
    fn every_shipped_scenario_can_be_read() {
        for name in NAMES {
            let scenario = Scenario::parse(name, shipped(name).unwrap()).unwrap();
            let needs_model = scenario.environment.contains_key("LLM_BASE_URL");
            assert_eq!(scenario.model.is_some(), needs_model, "{name}: workers must know the fake model's address");
        }
    }
}
