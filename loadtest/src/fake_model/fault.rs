//! The ways a model lets its caller down.

use rand::Rng;
use rand::rngs::StdRng;

use super::Config;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500 with OpenAI's error body.
    ServerError,
    /// 429 with Retry-After.
    RateLimited,
    /// 200, then JSON that breaks off; a stream breaks off after half its tokens.
    Malformed,
}

impl Fault {
    /// One throw for all rates, so that together they never exceed their sum.
    pub(super) fn roll(config: &Config, dice: &mut StdRng) -> Option<Self> {
        let mut throw: f64 = dice.random();
        for (rate, fault) in [
            (config.error_rate, Self::ServerError),
            (config.rate_limit_rate, Self::RateLimited),
            (config.malformed_rate, Self::Malformed),
        ] {
            if throw < rate {
                return Some(fault);
            }
            throw -= rate;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn rates_are_shares_of_all_requests() {
        let config = Config { error_rate: 0.2, rate_limit_rate: 0.1, malformed_rate: 0.3, ..Config::default() };
        let mut dice = StdRng::seed_from_u64(1);
        let throws: Vec<_> = (0..10_000).map(|_| Fault::roll(&config, &mut dice)).collect();
        let share = |fault| throws.iter().filter(|&&thrown| thrown == fault).count() as f64 / 10_000.0;

        assert!((share(Some(Fault::ServerError)) - 0.2).abs() < 0.02);
        assert!((share(Some(Fault::RateLimited)) - 0.1).abs() < 0.02);
        assert!((share(Some(Fault::Malformed)) - 0.3).abs() < 0.02);
        assert!((share(None) - 0.4).abs() < 0.02);
    }
}
