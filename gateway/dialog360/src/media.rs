//! Decides which files the provider takes: kinds, types and sizes, and whether a digest fits.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use thiserror::Error;

// The provider says "MB"; whether it counts in 1,000 or 1,024 is not said. Its older gateway
// counted in 1,024, and a file that is a little too large is refused by it anyway.
const KB: u64 = 1_024;
const MB: u64 = 1_024 * KB;

/// What a file is sent as.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    Image,
    StaticSticker,
    AnimatedSticker,
    Audio,
    Video,
    Document,
}

/// Why a file would not be taken.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unfit {
    #[error("{kind:?} does not take this type; it takes {}", allowed.join(", "))]
    Type { kind: Kind, allowed: &'static [&'static str] },
    #[error("{given} bytes, at most {limit} for {kind:?}")]
    Size { kind: Kind, limit: u64, given: u64 },
    #[error("the file is empty")]
    Empty,
}

impl Kind {
    /// What a file of this type is best sent as; documents take any type.
    pub fn of(mime_type: &str) -> Self {
        let mime_type = essence(mime_type);
        [Self::Image, Self::StaticSticker, Self::Audio, Self::Video]
            .into_iter()
            .find(|kind| kind.types().contains(&mime_type.as_str()))
            .unwrap_or(Self::Document)
    }

    /// The types it takes; none listed: any.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["image/jpeg", "image/png"],
            Self::StaticSticker | Self::AnimatedSticker => &["image/webp"],
            Self::Audio => &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"],
            Self::Video => &["video/mp4", "video/3gpp"],
            // The documented list is short, but others are taken in practice.
            Self::Document => &[],
        }
    }

    /// The largest file, in bytes.
    pub fn size_max(self) -> u64 {
        match self {
            Self::Image => 5 * MB,
            Self::StaticSticker => 100 * KB,
            Self::AnimatedSticker => 500 * KB,
            Self::Audio | Self::Video => 16 * MB,
            Self::Document => 100 * MB,
        }
    }
}

/// Checks a file before it is uploaded. `mime_type` may have parameters (`audio/ogg; codecs=opus`).
pub fn check(kind: Kind, mime_type: &str, size: u64) -> Result<(), Unfit> {
    let allowed = kind.types();
    let mime_type = essence(mime_type);
    let shaped = mime_type.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if !shaped || !(allowed.is_empty() || allowed.contains(&mime_type.as_str())) {
        return Err(Unfit::Type { kind, allowed });
    }
    let limit = kind.size_max();
    match size {
        0 => Err(Unfit::Empty),
        given if given > limit => Err(Unfit::Size { kind, limit, given }),
        _ => Ok(()),
    }
}

fn essence(mime_type: &str) -> String {
    mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// How a file compares with the digest given for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DigestCheck {
    Matches,
    Differs,
    /// None was given, or in a form we do not know.
    Unknown,
}

/// Compares a file with a SHA-256 in hex or any common base64.
pub fn check_digest(bytes: &[u8], expected: Option<&str>) -> DigestCheck {
    let Some(expected) = expected.and_then(digest) else {
        return DigestCheck::Unknown;
    };
    if Sha256::digest(bytes).as_slice() == expected {
        DigestCheck::Matches
    } else {
        DigestCheck::Differs
    }
}

fn digest(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=');
    let forms = [
        hex::decode(text).ok(),
        STANDARD_NO_PAD.decode(text).ok(),
        URL_SAFE_NO_PAD.decode(text).ok(),
    ];
    forms.into_iter().flatten().find(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_sizes_are_those_of_the_table() {
        assert_eq!(check(Kind::Image, "image/jpeg", 5 * MB), Ok(()));
        assert_eq!(
            check(Kind::Image, "image/png", 5 * MB + 1),
            Err(Unfit::Size { kind: Kind::Image, limit: 5_242_880, given: 5_242_881 })
        );
        assert!(matches!(check(Kind::Image, "image/webp", 1), Err(Unfit::Type { .. })));
        assert_eq!(check(Kind::Audio, "Audio/OGG; codecs=opus", 1), Ok(()));
        assert_eq!(check(Kind::Document, "application/zip", 1), Ok(()));
        assert!(matches!(check(Kind::Document, "zip", 1), Err(Unfit::Type { .. })));
        assert_eq!(check(Kind::Video, "video/mp4", 0), Err(Unfit::Empty));
        assert_eq!(check(Kind::AnimatedSticker, "image/webp", 400 * KB), Ok(()));
        assert!(check(Kind::StaticSticker, "image/webp", 400 * KB).is_err());
    }

    #[test]
    fn a_type_finds_its_kind() {
        assert_eq!(Kind::of("image/jpeg"), Kind::Image);
        assert_eq!(Kind::of("image/webp"), Kind::StaticSticker);
        assert_eq!(Kind::of("audio/ogg; codecs=opus"), Kind::Audio);
        assert_eq!(Kind::of("application/pdf"), Kind::Document);
    }

    #[test]
    fn digests_come_in_several_forms() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let base64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(check_digest(b"abc", Some(hex)), DigestCheck::Matches);
        assert_eq!(check_digest(b"abc", Some(base64)), DigestCheck::Matches);
        let url_safe = base64.replace('+', "-").replace('/', "_");
        assert_eq!(check_digest(b"abc", Some(&url_safe)), DigestCheck::Matches);
        assert_eq!(check_digest(b"abd", Some(hex)), DigestCheck::Differs);
        assert_eq!(check_digest(b"abc", Some("<hash>")), DigestCheck::Unknown);
        assert_eq!(check_digest(b"abc", None), DigestCheck::Unknown);
    }
}
