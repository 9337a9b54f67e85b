//! Passwords, which are kept and compared as argon2id hashes alone.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use usher_config::Password;

/// A hash that passwords are compared with.
#[derive(Clone, Debug)]
pub(super) struct PasswordHash(Arc<phc::PasswordHash>);

/// Not a password hash, or a password that cannot be hashed.
#[derive(Debug, Error)]
pub enum BadHash {
    #[error("not an argon2id hash in PHC form")]
    Form(#[source] phc::Error),
    #[error("the password cannot be hashed")]
    Hashing(#[source] argon2::password_hash::Error),
}

/// A password as settings keep it: `$argon2id$v=19$…`.
pub fn hash(password: &SecretString) -> Result<String, BadHash> {
    Ok(hashed(password)?.to_string())
}

fn hashed(password: &SecretString) -> Result<phc::PasswordHash, BadHash> {
    Argon2::default().hash_password(password.expose_secret().as_bytes()).map_err(BadHash::Hashing)
}

impl PasswordHash {
    pub(super) fn of(password: &Password) -> Result<Self, BadHash> {
        let hash = match password {
            Password::Hash(hash) => {
                phc::PasswordHash::new(hash.expose_secret()).map_err(BadHash::Form)?
            }
            Password::Plain(password) => hashed(password)?,
        };
        Ok(Self(Arc::new(hash)))
    }

    /// A hash of a password that nobody knows.
    pub(super) fn of_nobody() -> Self {
        let password = SecretString::from(hex::encode(rand::random::<[u8; 16]>()));
        Self::of(&Password::Plain(password)).expect("letters and digits can be hashed")
    }

    /// Takes some ten milliseconds of a core.
    pub(super) fn fits(&self, password: &SecretString) -> bool {
        Argon2::default().verify_password(password.expose_secret().as_bytes(), &*self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let written = hash(&SecretString::from("open sesame")).unwrap();
        assert!(written.starts_with("$argon2id$v=19$"), "{written}");
        let hash = PasswordHash::of(&Password::Hash(SecretString::from(written))).unwrap();
        assert!(hash.fits(&SecretString::from("open sesame")));
        assert!(!hash.fits(&SecretString::from("open sesamE")));
        assert!(PasswordHash::of(&Password::Hash(SecretString::from("$1$abc"))).is_err());
    }
}
