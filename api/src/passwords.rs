//! Passwords: hashed with Argon2id on threads of their own, few at once.

use std::{sync::Arc, time::Duration};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    credentials,
    problem::{Kind, Problem},
};

/// The cost that OWASP's Password Storage Cheat Sheet asks for: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Computed at once; each holds a core and the memory.
const AT_ONCE: usize = 2;
/// Longest wait for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stands for the account that does not exist: as costly to check as any, and matched by no known password.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bWV0YWNoYXQtbm9ib2R5cw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    places: Arc<Semaphore>,
}

impl Passwords {
    pub fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// A PHC string of a password with fresh salt.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let salt: [u8; 16] = credentials::random();
        let hashed = self.compute(move |argon2| argon2.hash_password_with_salt(password.as_bytes(), &salt)).await?;
        hashed.map(|hash| hash.to_string()).map_err(|error| Problem::new(Kind::Internal).cause(error))
    }

    /// Whether a password is the one of a PHC string. Without one it takes the same time and is not.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODYS.to_owned());
        let same =
            self.compute(move |argon2| argon2.verify_password(password.as_bytes(), hash.as_str()).is_ok()).await?;
        Ok(same && exists)
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place().await?;
        let computed = tokio::task::spawn_blocking(move || {
            let _place = place;
            let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("within Argon2's bounds");
            work(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
        });
        computed.await.map_err(|panicked| Problem::new(Kind::Internal).cause(panicked))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| Problem::unavailable("Too many log in at this moment."))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap(), "salted");
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    /// An unparsable stand-in would be refused at once, and tell that the account does not exist.
    #[tokio::test]
    async fn nobodys_password_takes_as_long_as_somebodys() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..20 {
            for (fastest, hash) in fastest.iter_mut().zip([Some(hash.clone()), None]) {
                let started = Instant::now();
                passwords.verify("wrong horse".into(), hash).await.unwrap();
                *fastest = started.elapsed().min(*fastest);
            }
        }
        let [somebody, nobody] = fastest;
        assert!(nobody > somebody / 2 && nobody < somebody * 2, "{somebody:?} {nobody:?}");
    }

    #[tokio::test]
    async fn few_are_computed_at_once() {
        let passwords = Passwords::new();
        let places: Vec<_> = (0..AT_ONCE).map(|_| passwords.places.clone().try_acquire_owned().unwrap()).collect();
        let waiting = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.verify("p".into(), None).await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished());
        drop(places);
        assert!(!waiting.await.unwrap().unwrap());
    }
}
