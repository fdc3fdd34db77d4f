//! Secrets the API hands out, and how a presented one is recognised.

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::{TryRngCore, rngs::OsRng};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Begins every tenant's key.
pub const TENANT_PREFIX: &str = "mk_live_";
/// Begins every operator's key.
pub const OPERATOR_PREFIX: &str = "mk_admin_";
/// Begins the token of an invitation.
pub const INVITATION_PREFIX: &str = "mk_invite_";
/// Longest secret looked at.
pub const MAX_CHARS: usize = 200;

/// A fresh secret: a prefix and 32 random bytes. Shown once; only its hash is kept.
pub fn secret(prefix: &str) -> String {
    format!("{prefix}{}", hex::encode(random::<32>()))
}

/// The end of a secret, by which its owner tells it from others.
pub fn last_four(secret: &str) -> &str {
    &secret[secret.len() - 4..]
}

/// A fresh signing secret in the form of Standard Webhooks.
pub fn signing_secret() -> SecretString {
    format!("whsec_{}", BASE64_STANDARD.encode(random::<32>())).into()
}

/// What is stored of a secret. A plain hash suffices: 256 random bits cannot be guessed.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The hash of what may be a key of an audience; `None` for what is none of its form, which nobody has to be asked about.
pub fn hash_of_key(text: &str, prefix: &str) -> Option<[u8; 32]> {
    (text.starts_with(prefix) && text.len() <= MAX_CHARS).then(|| hash(text))
}

/// A hash that stands for several texts, told apart where one ends and the next begins.
pub fn hash_of(texts: &[&str]) -> [u8; 32] {
    let hasher = texts.iter().fold(Sha256::new(), |hasher, text| {
        hasher.chain_update((text.len() as u64).to_be_bytes()).chain_update(text.as_bytes())
    });
    hasher.finalize().into()
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secrets_have_their_form_and_differ() {
        let key = secret(TENANT_PREFIX);
        assert_eq!(key.len(), TENANT_PREFIX.len() + 64);
        assert!(key.len() <= MAX_CHARS && key.ends_with(last_four(&key)));
        assert_ne!(key, secret(TENANT_PREFIX));
        let secret = signing_secret();
        assert_eq!(BASE64_STANDARD.decode(secret.expose_secret().strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
    }

    #[test]
    fn what_is_stored_is_sha_256_and_texts_do_not_run_together() {
        assert_eq!(hex::encode(hash("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
    }
}
