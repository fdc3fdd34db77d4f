//! Secrets as they are stored: sealed with a key that the database does not hold.
//!
//! XChaCha20-Poly1305 with a random nonce. The id of the key stands before each value, so that keys can be changed one value at
//! a time; the place of the value is authenticated with it, so that a value copied to another place does not open there.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::{TryRngCore, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::ids::TenantId;

/// First byte of a sealed value: version, length of the key's id, the id, the nonce, the text with its tag.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// Longest id of a key, in characters.
const MAX_ID: usize = 32;

/// The place of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `table.column`
    pub column: &'static str,
    /// `None` for what the operator owns.
    pub tenant: Option<TenantId>,
    /// Primary key of the row.
    pub row: Uuid,
}

/// A sealed value, as a column holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Id of the key that sealed it; `None` when it is no sealed value.
    pub fn key(&self) -> Option<&str> {
        self.parts().map(|parts| parts.key)
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let (&[version, length], _) = self.0.split_first_chunk::<2>()?;
        let (header, rest) = self.0.split_at_checked(2 + usize::from(length))?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let key = str::from_utf8(&header[2..]).ok().filter(|id| is_id(id))?;
        (version == VERSION).then_some(Parts { header, key, nonce, text })
    }
}

struct Parts<'a> {
    header: &'a [u8],
    key: &'a str,
    nonce: &'a [u8; NONCE_BYTES],
    text: &'a [u8],
}

/// Why a value does not open. Says where it stands and never what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{column} is sealed with the key `{key}`, which is not among SECRETS_KEYS")]
    UnknownKey { column: &'static str, key: String },
    #[error("{column} does not open: it was changed, or was sealed for another place")]
    Refused { column: &'static str },
}

/// Seals with its first key, opens with all. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<[(String, XChaCha20Poly1305)]>);

/// Names the keys only.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Vault {
    /// A vault with a random key that nobody else has: what it seals is lost with it.
    pub fn ephemeral() -> Self {
        let key: [u8; KEY_BYTES] = random();
        Self([("ephemeral".to_owned(), XChaCha20Poly1305::new(&key.into()))].into())
    }

    /// Id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        &self.0[0].0
    }

    pub fn knows(&self, key: &str) -> bool {
        self.0.iter().any(|(id, _)| id == key)
    }

    /// Whether a value is sealed with the key that seals now.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        sealed.key() == Some(self.sealing_key())
    }

    pub fn seal(&self, place: Place, secret: &SecretString) -> Sealed {
        let (id, cipher) = &self.0[0];
        let nonce: [u8; NONCE_BYTES] = random();
        let mut sealed = vec![VERSION, id.len().to_le_bytes()[0]];
        sealed.extend_from_slice(id.as_bytes());
        let aad = authenticated(&sealed, place);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &aad };
        let text = cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("a secret is shorter than 256 GB");
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Sealed(sealed)
    }

    pub fn open(&self, place: Place, sealed: &Sealed) -> Result<SecretString, OpenError> {
        let refused = OpenError::Refused { column: place.column };
        let Some(Parts { header, key, nonce, text }) = sealed.parts() else { return Err(refused) };
        let Some((_, cipher)) = self.0.iter().find(|(id, _)| id == key) else {
            return Err(OpenError::UnknownKey { column: place.column, key: key.to_owned() });
        };
        let payload = Payload { msg: text, aad: &authenticated(header, place) };
        let plain = cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| refused.clone())?;
        String::from_utf8(plain).map(SecretString::from).map_err(|_| refused)
    }
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    bytes
}

fn authenticated(header: &[u8], place: Place) -> Vec<u8> {
    let tenant = place.tenant.map_or(Uuid::nil(), TenantId::uuid);
    [header, place.column.as_bytes(), b"\0", tenant.as_bytes(), place.row.as_bytes()].concat()
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Everything that is wrong with a list of keys, without the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidKeys(Vec<String>);

/// Reads `id:base64-of-32-bytes,…`.
impl FromStr for Vault {
    type Err = InvalidKeys;

    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let (mut keys, mut problems) = (Vec::<(String, XChaCha20Poly1305)>::new(), Vec::new());
        for (at, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
            let at = at + 1;
            let Some((id, key)) = entry.split_once(':') else {
                problems.push(format!("key {at} is not id:base64"));
                continue;
            };
            if !is_id(id) {
                problems.push(format!("the id of key {at} must have 1 to {MAX_ID} letters, digits, or any of -_."));
            } else if keys.iter().any(|(known, _)| known == id) {
                problems.push(format!("the id `{id}` is there twice"));
            }
            match BASE64_STANDARD.decode(key).ok().and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok()) {
                Some(key) => keys.push((id.to_owned(), XChaCha20Poly1305::new(&key.into()))),
                None => problems.push(format!("key {at} is not the base64 of {KEY_BYTES} bytes")),
            }
        }
        if keys.is_empty() && problems.is_empty() {
            problems.push("is required: id:base64 of 32 random bytes".to_owned());
        }
        if problems.is_empty() { Ok(Self(keys.into())) } else { Err(InvalidKeys(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}", BASE64_STANDARD.encode([byte; KEY_BYTES]))
    }

    fn vault(keys: &[String]) -> Vault {
        keys.join(",").parse().unwrap()
    }

    fn place() -> Place {
        Place { column: "webhook_endpoints.secret", tenant: Some(TenantId::generate()), row: Uuid::now_v7() }
    }

    #[test]
    fn a_value_opens_in_its_place_only() {
        let (vault, place, secret) = (vault(&[key("a", 1)]), place(), SecretString::from("whsec_x"));
        let sealed = vault.seal(place, &secret);
        assert_eq!(vault.open(place, &sealed).unwrap().expose_secret(), "whsec_x");
        assert_ne!(sealed, vault.seal(place, &secret), "every nonce is fresh");
        assert!(!sealed.as_bytes().windows(7).any(|bytes| bytes == b"whsec_x"));
        for elsewhere in [
            Place { row: Uuid::now_v7(), ..place },
            Place { tenant: Some(TenantId::generate()), ..place },
            Place { tenant: None, ..place },
            Place { column: "tenants.callback_secret", ..place },
        ] {
            let refused = vault.open(elsewhere, &sealed).unwrap_err();
            assert_eq!(refused, OpenError::Refused { column: elsewhere.column });
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (vault, place) = (vault(&[key("a", 1), key("b", 2)]), place());
        let sealed = vault.seal(place, &SecretString::from("whsec_x"));
        for at in 0..sealed.as_bytes().len() {
            let mut changed = sealed.as_bytes().to_vec();
            changed[at] ^= 3;
            assert!(vault.open(place, &Sealed::from_bytes(changed)).is_err(), "byte {at}");
            let cut = Sealed::from_bytes(sealed.as_bytes()[..at].to_vec());
            assert!(vault.open(place, &cut).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, place) = (vault(&[key("old", 1)]), place());
        let sealed = old.seal(place, &SecretString::from("whsec_x"));
        let both = vault(&[key("new", 2), key("old", 1)]);
        assert!(both.open(place, &sealed).is_ok() && !both.is_current(&sealed));
        assert_eq!(both.seal(place, &SecretString::from("whsec_x")).key(), Some("new"));
        let new = vault(&[key("new", 2)]);
        let unknown = OpenError::UnknownKey { column: place.column, key: "old".into() };
        assert_eq!(new.open(place, &sealed).unwrap_err(), unknown);
        let other = vault(&[key("old", 3)]);
        assert_eq!(other.open(place, &sealed).unwrap_err(), OpenError::Refused { column: place.column });
    }

    #[test]
    fn every_problem_of_the_keys_is_listed_and_no_key_is_shown() {
        let list = format!("{},a:AAAA,b c:{},nothing,{}", key("a", 1), BASE64_STANDARD.encode([1; 32]), key("a", 2));
        let problems = list.parse::<Vault>().unwrap_err();
        assert_eq!(problems.0.len(), 5, "{problems}");
        assert!(!problems.to_string().contains("AAAA"), "{problems}");
        assert!(" , ".parse::<Vault>().is_err());
        assert_eq!(format!("{:?}", vault(&[key("a", 1), key("b", 2)])), r#"["a", "b"]"#);
    }
}
