//! Standard Webhooks: what a signature covers, and whether one is right.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;

use super::SIGNED_WITHIN;

pub(crate) const ID: &str = "webhook-id";
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
pub(crate) const SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";

/// What came with a signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: &'a str,
    /// One or several, a space between them.
    pub(crate) signatures: &'a str,
    pub(crate) body: &'a [u8],
}

pub(super) struct Signer(SecretSlice<u8>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// `whsec_` and base64 of the key, or the key itself.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret();
        let key = match secret.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        (!key.is_empty()).then(|| Self(key.into()))
    }

    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mac = self.mac(id, &timestamp.to_string(), body);
        format!("{VERSION}{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Compares in constant time; `now` in seconds since the Unix epoch.
    pub(super) fn verify(&self, signed: Signed<'_>, now: u64) -> bool {
        let Signed { id, timestamp, signatures, body } = signed;
        let fresh = timestamp
            .parse::<u64>()
            .is_ok_and(|written| written.abs_diff(now) <= SIGNED_WITHIN.as_secs());
        let mac = self.mac(id, timestamp, body);
        let right = signatures
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
            .any(|given| mac.clone().verify_slice(&given).is_ok());
        fresh && right
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let key = self.0.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the test suite of the Standard Webhooks reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const EXPECTED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signer(secret: &str) -> Option<Signer> {
        Signer::new(&SecretString::from(secret))
    }

    fn signed<'a>(timestamp: &'a str, signatures: &'a str) -> Signed<'a> {
        Signed { id: MESSAGE, timestamp, signatures, body: BODY }
    }

    #[test]
    fn signs_as_the_reference_libraries_do() {
        assert_eq!(signer(SECRET).unwrap().sign(MESSAGE, AT, BODY), EXPECTED);
    }

    #[test]
    fn believes_what_is_right_and_fresh() {
        let signer = signer(SECRET).unwrap();
        let at = AT.to_string();
        assert!(signer.verify(signed(&at, EXPECTED), AT));
        assert!(signer.verify(signed(&at, &format!("v2,eA== v1,eA== {EXPECTED}")), AT + 299));
        assert!(!signer.verify(signed(&at, EXPECTED), AT + 301), "old");
        assert!(!signer.verify(signed(&at, EXPECTED), AT - 301), "of the future");
        let other = (AT + 1).to_string();
        assert!(!signer.verify(signed(&other, EXPECTED), AT), "the time is signed too");
        for wrong in ["", "v1,", "v1,eA==", EXPECTED.strip_prefix("v1,").unwrap()] {
            assert!(!signer.verify(signed(&at, wrong), AT), "{wrong}");
        }
        let body = Signed { body: b"{}", ..signed(&at, EXPECTED) };
        assert!(!signer.verify(body, AT));
    }

    #[test]
    fn a_raw_secret_is_the_key_and_a_broken_one_is_none() {
        let raw = signer("not base64 at all").unwrap();
        assert_ne!(raw.sign(MESSAGE, AT, BODY), EXPECTED);
        assert!(signer("whsec_%%%").is_none());
        assert!(signer("whsec_").is_none());
        assert!(signer("").is_none());
    }
}
