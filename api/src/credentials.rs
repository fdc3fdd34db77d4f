//! Secrets the API hands out, and how a presented one is recognised.

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::{TryRngCore, rngs::OsRng};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Begins every tenant's key.
pub const TENANT_PREFIX: &str = "mk_live_";
/// Longest key looked at.
pub const MAX_KEY_CHARS: usize = 200;

/// A fresh tenant key: 32 random bytes. Shown once; only its hash is kept.
pub fn tenant_key() -> String {
    format!("{TENANT_PREFIX}{}", hex::encode(random()))
}

/// A fresh signing secret in the form of Standard Webhooks.
pub fn signing_secret() -> SecretString {
    format!("whsec_{}", BASE64_STANDARD.encode(random())).into()
}

/// What is stored of a key. A plain hash suffices: 256 random bits cannot be guessed.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secrets_have_their_form_and_differ() {
        let key = tenant_key();
        assert_eq!(key.len(), TENANT_PREFIX.len() + 64);
        assert!(key.len() <= MAX_KEY_CHARS);
        assert_ne!(key, tenant_key());
        let secret = signing_secret();
        assert_eq!(BASE64_STANDARD.decode(secret.expose_secret().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
    }
}
