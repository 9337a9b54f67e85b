//! Decides whether a webhook comes from whom it says; every comparison takes constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that carries the signature.
pub const HEADER: &str = "x-360dialog-signature";

/// Checks signatures by one secret, which is made ready once.
#[derive(Clone)]
pub struct Verifier(Hmac<Sha256>);

impl Verifier {
    pub fn new(secret: &SecretString) -> Self {
        Self(keyed(secret))
    }

    /// Whether this is the HMAC-SHA256 of the raw body: hex, with or without `sha256=` before it.
    pub fn verify(&self, body: &[u8], header: &str) -> bool {
        let header = header.trim();
        let text = header.strip_prefix("sha256=").unwrap_or(header);
        let mut given = [0; 32];
        hex::decode_to_slice(text, &mut given).is_ok()
            && self.0.clone().chain_update(body).verify_slice(&given).is_ok()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// The signature of a body, in lower-case hex without a prefix.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(keyed(secret).chain_update(body).finalize().into_bytes())
}

fn keyed(secret: &SecretString) -> Hmac<Sha256> {
    let key = secret.expose_secret().as_bytes();
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// What a webhook must carry. Digests are compared, so that not even the length of the secret shows
/// in the time taken.
#[derive(Clone)]
pub struct Expected {
    digest: [u8; 32],
}

impl Expected {
    /// The value of a header.
    pub fn value(secret: &SecretString) -> Self {
        Self::of(secret.expose_secret().as_bytes())
    }

    /// The credentials of `Authorization: Basic`.
    pub fn basic(user: &str, password: &SecretString) -> Self {
        Self::of(format!("{user}:{}", password.expose_secret()).as_bytes())
    }

    fn of(expected: &[u8]) -> Self {
        Self { digest: Sha256::digest(expected).into() }
    }

    pub fn is(&self, given: &[u8]) -> bool {
        self.digest.ct_eq(&Sha256::digest(given)).into()
    }

    /// Whether an `Authorization: Basic …` header says it.
    pub fn is_basic(&self, header: &str) -> bool {
        let Some((scheme, credentials)) = header.trim().split_once(' ') else {
            return false;
        };
        let given = STANDARD.decode(credentials.trim());
        scheme.eq_ignore_ascii_case("basic") && given.is_ok_and(|given| self.is(&given))
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"hello":"world"}"#;
    const SIGNATURE: &str = "815793eb101f25311f31fefc551edee74f261ed54a7565c70afe934fe4bdf0eb";

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn the_known_vector_holds() {
        let key = secret("platform_secret");
        assert_eq!(sign(&key, BODY), SIGNATURE);
        let verifier = Verifier::new(&key);
        assert!(verifier.verify(BODY, SIGNATURE));
        assert!(verifier.verify(BODY, &format!("sha256={SIGNATURE}")));
    }

    #[test]
    fn anything_else_is_refused() {
        let verifier = Verifier::new(&secret("platform_secret"));
        assert!(!verifier.verify(br#"{"hello":"world" }"#, SIGNATURE));
        assert!(!Verifier::new(&secret("platform_secreT")).verify(BODY, SIGNATURE));
        for header in
            ["", "sha256=", "xyz", SIGNATURE.trim_end_matches('b'), &format!("{SIGNATURE}00")]
        {
            assert!(!verifier.verify(BODY, header), "{header}");
        }
    }

    #[test]
    fn shared_secrets_are_compared_whole() {
        let expected = Expected::value(&secret("s3cret"));
        assert!(expected.is(b"s3cret"));
        assert!(!expected.is(b"s3cre"));
        assert!(!expected.is(b""));
    }

    #[test]
    fn basic_credentials_are_checked() {
        let expected = Expected::basic("ali", &secret("open sesame"));
        let header = format!("Basic {}", STANDARD.encode("ali:open sesame"));
        assert!(expected.is_basic(&header));
        assert!(expected.is_basic(&header.replace("Basic", "basic")));
        assert!(!Expected::basic("baba", &secret("open sesame")).is_basic(&header));
        assert!(!Expected::basic("ali", &secret("open")).is_basic(&header));
        assert!(!expected.is_basic(&header.replace("Basic", "Bearer")));
        assert!(!expected.is_basic("Bearer abc"));
        assert!(!expected.is_basic("Basic ???"));
    }
}
