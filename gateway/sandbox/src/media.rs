//! Media files: what may be uploaded, how long an id and an address stay good, and where the bytes lie.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use actix_web::web::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::errors::{Check, Invalid};
use crate::validate::MediaRef;

/// Bytes kept in memory; the oldest files go when there are more.
const MEMORY: usize = 512 * 1024 * 1024;
const DAY_MS: u64 = 24 * 3_600_000;
const MB: usize = 1024 * 1024;
const KB: usize = 1024;

/// Type, what it may be sent as, and the most bytes.
const TYPES: [(&str, &str, usize); 18] = [
    ("image/jpeg", "image", 5 * MB),
    ("image/png", "image", 5 * MB),
    ("image/webp", "sticker", 100 * KB),
    ("audio/aac", "audio", 16 * MB),
    ("audio/amr", "audio", 16 * MB),
    ("audio/mpeg", "audio", 16 * MB),
    ("audio/mp4", "audio", 16 * MB),
    ("audio/ogg", "audio", 16 * MB),
    ("video/mp4", "video", 16 * MB),
    ("video/3gpp", "video", 16 * MB),
    ("text/plain", "document", 100 * MB),
    ("application/pdf", "document", 100 * MB),
    ("application/msword", "document", 100 * MB),
    ("application/vnd.ms-excel", "document", 100 * MB),
    ("application/vnd.ms-powerpoint", "document", 100 * MB),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "document",
        100 * MB,
    ),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "document", 100 * MB),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "document",
        100 * MB,
    ),
];

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Memory(Bytes),
    File(PathBuf, usize),
}

impl Held {
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_, size) => *size,
        }
    }

    /// May block on the disk.
    pub(crate) fn read(&self) -> std::io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path, _) => std::fs::read(path).map(Bytes::from),
        }
    }
}

/// A file before it has an id: its bytes are where they will stay.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) mime: String,
    held: Held,
    sha256: [u8; 32],
}

impl Attachment {
    /// Puts the bytes away, on disk if there is a directory. May block.
    pub(crate) fn keep(bytes: Bytes, mime: &str, dir: Option<&PathBuf>) -> std::io::Result<Self> {
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let held = match dir {
            None => Held::Memory(bytes),
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                let path = dir.join(hex::encode(sha256));
                std::fs::write(&path, &bytes)?;
                Held::File(path, bytes.len())
            }
        };
        Ok(Self { mime: mime.to_owned(), held, sha256 })
    }

    pub(crate) fn sha_base64(&self) -> String {
        STANDARD.encode(self.sha256)
    }
}

#[derive(Debug)]
pub(crate) struct MediaFile {
    /// Only its own number can see it.
    pub(crate) number: usize,
    pub(crate) mime: String,
    pub(crate) held: Held,
    sha256: [u8; 32],
    /// Came in with a webhook: its id lives 7 days; an uploaded one 30.
    pub(crate) inbound: bool,
    created_ms: u64,
}

impl MediaFile {
    pub(crate) fn sha_hex(&self) -> String {
        hex::encode(self.sha256)
    }

    const fn alive(&self, now_ms: u64) -> bool {
        let days = if self.inbound { 7 } else { 30 };
        now_ms < self.created_ms + days * DAY_MS
    }
}

#[derive(Debug)]
pub(crate) struct MediaStore {
    pub(crate) dir: Option<PathBuf>,
    /// How long an address stays good.
    pub(crate) url_ttl_s: u64,
    files: BTreeMap<String, MediaFile>,
    order: VecDeque<String>,
    in_memory: usize,
    next_id: u64,
    secret: u64,
}

impl MediaStore {
    pub(crate) const fn new(dir: Option<PathBuf>, url_ttl_s: u64, started_ms: u64) -> Self {
        Self {
            dir,
            url_ttl_s,
            files: BTreeMap::new(),
            order: VecDeque::new(),
            in_memory: 0,
            next_id: started_ms * 1000,
            secret: started_ms,
        }
    }

    pub(crate) fn add(
        &mut self,
        number: usize,
        attachment: Attachment,
        inbound: bool,
        now_ms: u64,
    ) -> String {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let Attachment { mime, held, sha256 } = attachment;
        if let Held::Memory(bytes) = &held {
            self.in_memory += bytes.len();
        }
        let file = MediaFile { number, mime, held, sha256, inbound, created_ms: now_ms };
        self.files.insert(id.clone(), file);
        self.order.push_back(id.clone());
        while self.in_memory > MEMORY {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(&oldest);
        }
        id
    }

    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let Some(file) = self.files.remove(id) else { return false };
        if let Held::Memory(bytes) = &file.held {
            self.in_memory -= bytes.len();
        }
        true
    }

    pub(crate) fn find(&self, id: &str, number: usize, now_ms: u64) -> Option<&MediaFile> {
        self.files.get(id).filter(|file| file.number == number && file.alive(now_ms))
    }

    /// The query of a file's address; compared byte for byte when it comes back.
    pub(crate) fn query(&self, id: &str, webhook: bool, expires_s: u64) -> String {
        let source = if webhook { "&source=webhook" } else { "" };
        let seal = Sha256::digest(format!("{}|{id}|{source}|{expires_s}", self.secret));
        // An escape in the middle: a client that takes the address apart and rebuilds it loses.
        let hash: String = hex::encode(seal).chars().take(32).collect();
        format!("mid={id}{source}&ext={expires_s}&hash=ARs%2D{hash}%3D")
    }

    /// The file that an address leads to, unless it is another number's, expired or tampered with.
    pub(crate) fn by_query(&self, query: &str, number: usize, now_ms: u64) -> Option<&MediaFile> {
        let mut id = None;
        let mut expires_s = None;
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "mid" => id = Some(value),
                "ext" => expires_s = value.parse::<u64>().ok(),
                _ => {}
            }
        }
        let (id, expires_s) = (id?, expires_s?);
        let genuine = [true, false].iter().any(|hook| self.query(id, *hook, expires_s) == query);
        if !genuine || now_ms >= expires_s * 1000 {
            return None;
        }
        self.find(id, number, now_ms)
    }

    /// Whether every file a message points at is there and of the right kind.
    pub(crate) fn check(&self, refs: &[MediaRef], number: usize, now_ms: u64) -> Check {
        for one in refs {
            let Some(file) = self.find(&one.id, number, now_ms) else {
                let details =
                    format!("Param {}[\"id\"] is not a valid media attachment ID", one.kind);
                return Err(Invalid::new(131_053, details));
            };
            let kind = kind_of(&file.mime).map(|(kind, _)| kind);
            if one.kind != "document" && kind != Some(one.kind) {
                let details = format!("Media of type {} cannot be sent as {}", file.mime, one.kind);
                return Err(Invalid::new(131_053, details));
            }
        }
        Ok(())
    }
}

fn base(mime: &str) -> &str {
    mime.split(';').next().unwrap_or_default().trim()
}

/// What a type may be sent as, and the most bytes it may have.
fn kind_of(mime: &str) -> Option<(&'static str, usize)> {
    let known = TYPES.iter().find(|(name, ..)| base(mime).eq_ignore_ascii_case(name));
    known.map(|(_, kind, max)| (*kind, *max))
}

/// An upload's type and size against the table.
pub(crate) fn check_upload(mime: &str, bytes: &[u8]) -> Check {
    let Some((kind, max)) = kind_of(mime) else {
        let known: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
        let details = format!(
            "Param file must be a file with one of the following types: {}. Received file of type '{mime}'.",
            known.join(", ")
        );
        return Err(Invalid::new(100, details));
    };
    let max = if kind == "sticker" && animated(bytes) { 500 * KB } else { max };
    if bytes.is_empty() || bytes.len() > max {
        let details = format!("Param file must be of 1 to {max} bytes, got {}.", bytes.len());
        return Err(Invalid::new(131_053, details));
    }
    Ok(())
}

/// The animation flag of an extended `WebP` header.
fn animated(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (MediaStore, String) {
        let mut store = MediaStore::new(None, 300, 7);
        let file = Attachment::keep(Bytes::from_static(b"x"), "image/png", None).unwrap();
        let id = store.add(0, file, true, 1_000);
        (store, id)
    }

    #[test]
    fn an_address_is_good_until_it_expires_and_only_unchanged() {
        let (store, id) = store();
        let query = store.query(&id, true, 300);
        assert!(store.by_query(&query, 0, 299_999).is_some());
        assert!(store.by_query(&query, 0, 300_000).is_none(), "expired");
        assert!(store.by_query(&query, 1, 2_000).is_none(), "another number's key");
        assert!(store.by_query(&query.replace("%3D", "="), 0, 2_000).is_none(), "rebuilt");
        assert!(store.by_query(&query.replace("ext=300", "ext=900"), 0, 2_000).is_none());
    }

    #[test]
    fn ids_live_seven_or_thirty_days() {
        let (mut store, inbound) = store();
        let file = Attachment::keep(Bytes::from_static(b"x"), "image/png", None).unwrap();
        let uploaded = store.add(0, file, false, 1_000);
        let after = |days| 1_000 + days * DAY_MS;
        assert!(store.find(&inbound, 0, after(7) - 1).is_some());
        assert!(store.find(&inbound, 0, after(7)).is_none());
        assert!(store.find(&uploaded, 0, after(30) - 1).is_some());
        assert!(store.find(&uploaded, 0, after(30)).is_none());
    }

    #[test]
    fn types_and_sizes_follow_the_table() {
        assert!(check_upload("image/jpeg", &vec![0; 5 * MB]).is_ok());
        assert_eq!(check_upload("image/jpeg", &vec![0; 5 * MB + 1]).unwrap_err().code, 131_053);
        assert_eq!(check_upload("image/gif", b"x").unwrap_err().code, 100);
        assert!(check_upload("audio/ogg; codecs=opus", b"x").is_ok());
        let mut sticker = vec![0; 101 * KB];
        assert!(check_upload("image/webp", &sticker).is_err());
        sticker[12..16].copy_from_slice(b"VP8X");
        sticker[20] = 2;
        assert!(check_upload("image/webp", &sticker).is_ok());
    }

    #[test]
    fn a_file_is_sent_as_what_it_is() {
        let (store, id) = store();
        let as_kind = |kind| store.check(&[MediaRef { kind, id: id.clone() }], 0, 2_000);
        assert!(as_kind("image").is_ok());
        assert!(as_kind("document").is_ok());
        assert_eq!(as_kind("video").unwrap_err().code, 131_053);
        let unknown = MediaRef { kind: "image", id: "1".to_owned() };
        assert_eq!(store.check(&[unknown], 0, 2_000).unwrap_err().code, 131_053);
    }
}
