//! How quick the disk itself is: the floor under every durable figure.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

const ROUNDS: usize = 101;
/// About what one commit under load writes.
const BYTES: usize = 8 * 1024;
/// Before and after a run the disk may differ by this much.
const STEADY: f64 = 1.5;

/// Median of appending a little and `fdatasync`.
pub fn sync_median(dir: &Path) -> anyhow::Result<Duration> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let block = vec![7; BYTES];
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        file.write_all(&block)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok(took[ROUNDS / 2])
}

/// Whether a run between these two may count.
pub fn is_steady(before: Duration, after: Duration) -> bool {
    let (short, long) = (before.min(after), before.max(after));
    long.as_secs_f64() <= short.as_secs_f64() * STEADY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_changed_by_half_does_not_count() {
        let us = Duration::from_micros;
        assert!(is_steady(us(100), us(150)) && is_steady(us(150), us(100)));
        assert!(!is_steady(us(100), us(151)) && !is_steady(us(151), us(100)));
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        sync_median(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
