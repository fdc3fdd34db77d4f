//! Accounts of a tenant's team: what an email and a password must be, and how guessing is slowed down.

use std::{fmt, time::Duration};

/// Longest address that mail can be sent to (RFC 5321).
const MAX_EMAIL: usize = 254;
/// Characters of a password.
pub const MIN_PASSWORD: usize = 12;
pub const MAX_PASSWORD: usize = 128;

/// Why an account cannot have this email or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    #[error("is no email address")]
    Email,
    #[error("has {0} characters; {MIN_PASSWORD} to {MAX_PASSWORD} are allowed")]
    PasswordLength(usize),
    #[error("contains the email address")]
    PasswordTellsEmail,
}

/// An email address in lower case: two that differ in case only are one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Takes what has one `@` between visible characters. Whether mail arrives there is not known.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let text = text.trim();
        let visible = |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control());
        let (local, host) = text.split_once('@').ok_or(InvalidAccount::Email)?;
        match text.len() <= MAX_EMAIL && visible(local) && visible(host) && !host.contains('@') {
            true => Ok(Self(text.to_lowercase())),
            false => Err(InvalidAccount::Email),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Refuses passwords that are short, longer than anybody types, or hold the account's email.
pub fn check_password(password: &str, email: &str) -> Result<(), InvalidAccount> {
    let chars = password.chars().count();
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&chars) {
        return Err(InvalidAccount::PasswordLength(chars));
    }
    match password.to_lowercase().contains(email) {
        true => Err(InvalidAccount::PasswordTellsEmail),
        false => Ok(()),
    }
}

/// How attempts of one subject are slowed down: so many are free, then each waits twice as long as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    free: i32,
    longest: Duration,
}

impl Backoff {
    /// An account, by clients that never logged in to it: short, so that strangers cannot keep its owner out for long.
    pub const ACCOUNT: Self = Self { free: 5, longest: Duration::from_secs(60) };
    /// A client that logged in to the account before. Strangers do not slow it down.
    pub const DEVICE: Self = Self { free: 5, longest: Duration::from_secs(900) };
    /// An address, whatever accounts it tries. Many people may share one.
    pub const ADDRESS: Self = Self { free: 20, longest: Duration::from_secs(900) };

    /// How long the next attempt has to wait after the `attempt`-th, counted from 1.
    pub fn after(self, attempt: i32) -> Duration {
        match u32::try_from(attempt - self.free) {
            Ok(over) => Duration::from_secs(1 << over.min(20)).min(self.longest),
            Err(_) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_read_leniently_and_compare_without_case() {
        assert_eq!(Email::parse(" Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        let long = format!("{}@example.com", "a".repeat(250));
        for odd in ["", "ada", "@example.com", "ada@", "a@b@c", "a da@example.com", "a\0@example.com", &long] {
            assert_eq!(Email::parse(odd), Err(InvalidAccount::Email), "{odd}");
        }
    }

    #[test]
    fn passwords_have_a_length_and_keep_the_email_out() {
        let check = |password: &str| check_password(password, "ada@example.com");
        assert_eq!(check("correct horse"), Ok(()));
        assert_eq!(check("čtrnáct znaků"), Ok(()));
        assert_eq!(check("short"), Err(InvalidAccount::PasswordLength(5)));
        assert_eq!(check(&"a".repeat(129)), Err(InvalidAccount::PasswordLength(129)));
        assert_eq!(check("Ada@Example.com1"), Err(InvalidAccount::PasswordTellsEmail));
    }

    #[test]
    fn waits_double_up_to_their_longest() {
        let seconds = |attempt| Backoff::ACCOUNT.after(attempt).as_secs();
        assert_eq!([1, 4, 5, 6, 7, 10, 11, 1_000].map(seconds), [0, 0, 1, 2, 4, 32, 60, 60]);
        assert_eq!(Backoff::DEVICE.after(i32::MAX).as_secs(), 900);
        assert_eq!(Backoff::ADDRESS.after(19), Duration::ZERO);
    }
}
