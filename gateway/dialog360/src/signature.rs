//! Decides whether a webhook comes from whom it says; every comparison takes constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that carries the signature.
pub const HEADER: &str = "x-360dialog-signature";

/// Checks the HMAC-SHA256 of the raw body: hex, with or without `sha256=` before it.
pub fn verify(secret: &SecretString, body: &[u8], header: &str) -> bool {
    let header = header.trim();
    let text = header.strip_prefix("sha256=").unwrap_or(header);
    let Ok(given) = hex::decode(text) else {
        return false;
    };
    mac(secret, body).verify_slice(&given).is_ok()
}

/// The signature of a body, in lower-case hex without a prefix.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(mac(secret, body).finalize().into_bytes())
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(body);
    mac
}

/// Compares the value of a header with the secret it should hold.
pub fn secret_matches(expected: &SecretString, given: &[u8]) -> bool {
    same(expected.expose_secret().as_bytes(), given)
}

/// Checks an `Authorization: Basic …` header.
pub fn basic_matches(user: &str, password: &SecretString, header: &str) -> bool {
    let Some((scheme, credentials)) = header.trim().split_once(' ') else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(given) = STANDARD.decode(credentials.trim()) else {
        return false;
    };
    same(format!("{user}:{}", password.expose_secret()).as_bytes(), &given)
}

/// Compares digests, so that not even the length of the secret shows in the time taken.
fn same(expected: &[u8], given: &[u8]) -> bool {
    Sha256::digest(expected).ct_eq(&Sha256::digest(given)).into()
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
        assert!(verify(&key, BODY, SIGNATURE));
        assert!(verify(&key, BODY, &format!("sha256={SIGNATURE}")));
    }

    #[test]
    fn anything_else_is_refused() {
        let key = secret("platform_secret");
        assert!(!verify(&key, br#"{"hello":"world" }"#, SIGNATURE));
        assert!(!verify(&secret("platform_secreT"), BODY, SIGNATURE));
        for header in
            ["", "sha256=", "xyz", SIGNATURE.trim_end_matches('b'), &format!("{SIGNATURE}00")]
        {
            assert!(!verify(&key, BODY, header), "{header}");
        }
    }

    #[test]
    fn shared_secrets_are_compared_whole() {
        assert!(secret_matches(&secret("s3cret"), b"s3cret"));
        assert!(!secret_matches(&secret("s3cret"), b"s3cre"));
        assert!(!secret_matches(&secret("s3cret"), b""));
    }

    #[test]
    fn basic_credentials_are_checked() {
        let password = secret("open sesame");
        let header = format!("Basic {}", STANDARD.encode("ali:open sesame"));
        assert!(basic_matches("ali", &password, &header));
        assert!(basic_matches("ali", &password, &header.replace("Basic", "basic")));
        assert!(!basic_matches("baba", &password, &header));
        assert!(!basic_matches("ali", &secret("open"), &header));
        assert!(!basic_matches("ali", &password, "Bearer abc"));
        assert!(!basic_matches("ali", &password, "Basic ???"));
    }
}
