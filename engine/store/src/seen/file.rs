//! Filters on disk: one file a day, and a list that names the files which belong together.
//!
//! A file is never changed, only replaced by one of another name, and the list is renamed into
//! place last: a crash in between leaves the older set whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::filter::{Block, Filter};
use crate::directory::sync_dir;
use crate::error::StoreError;

const LIST: &str = "list.json";

/// Bytes of a SHA-256, which every file ends with.
const DIGEST: usize = 32;

#[derive(Deserialize, Serialize)]
struct List {
    v: u16,
    through: u64,
    /// Day, and the journal row its file was saved under.
    days: Vec<(u64, u64)>,
}

const VERSION: u16 = 1;

pub(super) struct Saved {
    pub(super) through: u64,
    /// Per day: the filter, and the journal row its file was saved under.
    pub(super) days: BTreeMap<u64, (Filter, u64)>,
}

/// The saved set; `None` when any part of it is missing or damaged.
pub(super) fn load(dir: &Path) -> Option<Saved> {
    let list: List = serde_json::from_slice(&fs::read(dir.join(LIST)).ok()?).ok()?;
    if list.v != VERSION {
        return None;
    }
    let mut days = BTreeMap::new();
    for (day, row) in list.days {
        let filter = read(&fs::read(path(dir, day, row)).ok()?);
        if filter.is_none() {
            tracing::warn!(day, "a saved filter of message ids is damaged");
        }
        days.insert(day, (filter?, row));
    }
    Some(Saved { through: list.through, days })
}

pub(super) fn save_day(dir: &Path, day: u64, row: u64, filter: &Filter) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::file(dir))?;
    let mut bytes = Vec::with_capacity(filter.bytes() + 64);
    for block in &filter.blocks {
        bytes.extend(block.capacity.to_le_bytes());
        bytes.extend(block.count.to_le_bytes());
        bytes.extend(block.bits.iter().flat_map(|word| word.to_le_bytes()));
    }
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    write(&path(dir, day, row), &bytes)
}

/// Names the set, then removes what no longer belongs to it.
pub(super) fn save_list(dir: &Path, through: u64, days: &[(u64, u64)]) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::file(dir))?;
    let list = List { v: VERSION, through, days: days.to_vec() };
    let new = dir.join("list.new");
    write(&new, crate::sql::json(&list).as_bytes())?;
    fs::rename(&new, dir.join(LIST)).map_err(StoreError::file(&new))?;
    sync_dir(dir)?;
    let kept: Vec<PathBuf> = days.iter().map(|(day, row)| path(dir, *day, *row)).collect();
    for entry in fs::read_dir(dir).map_err(StoreError::file(dir))? {
        let found = entry.map_err(StoreError::file(dir))?.path();
        let is_filter = found.extension().is_some_and(|ending| ending == "filter");
        if is_filter && !kept.contains(&found) {
            fs::remove_file(&found).map_err(StoreError::file(&found))?;
        }
    }
    Ok(())
}

fn path(dir: &Path, day: u64, row: u64) -> PathBuf {
    dir.join(format!("{day}-{row}.filter"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(StoreError::file(path))
}

fn read(bytes: &[u8]) -> Option<Filter> {
    let (mut rest, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if Sha256::digest(rest)[..] != *digest {
        return None;
    }
    let mut filter = Filter::default();
    while !rest.is_empty() {
        let (capacity, after) = rest.split_first_chunk::<4>()?;
        let (count, after) = after.split_first_chunk::<4>()?;
        let capacity = u32::from_le_bytes(*capacity);
        let (bits, after) = after.split_at_checked(Block::words(capacity).checked_mul(8)?)?;
        let words = bits.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let count = u32::from_le_bytes(*count);
        filter.blocks.push(Block { capacity, count, bits: words.collect() });
        rest = after;
    }
    Some(filter)
}
