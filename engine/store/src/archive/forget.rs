//! Taking out of the archive what was taken out of the journal.

use rusqlite::{Connection, OptionalExtension, Result};
use usher_domain::ids::{EnquiryId, MediaId, ServiceId};
use usher_domain::message::Content;

use super::read::OldMedia;
use crate::prune::WHY;
use crate::sql::{Blob, Id, int, json, parse};

/// What goes with some enquiries of one service.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) enquiries: Vec<EnquiryId>,
    /// Journal rows taken out that may have left an id in `other_ids`.
    pub(crate) rows: Vec<u64>,
    pub(crate) media: Vec<(MediaId, String)>,
}

/// Removes it; the digests of files that nothing refers to any more.
pub(crate) fn forget(tx: &Connection, service: ServiceId, gone: &Gone) -> Result<Vec<String>> {
    for enquiry in &gone.enquiries {
        messages(tx, service.blob(), enquiry.blob())?;
        for table in ["labels", "members", "decisions", "events", "enquiries"] {
            let sql = format!("DELETE FROM {table} WHERE service = ?1 AND enquiry = ?2");
            tx.prepare_cached(&sql)?.execute((service.blob(), enquiry.blob()))?;
        }
    }
    let mut other = tx.prepare_cached("DELETE FROM other_ids WHERE id = ?1")?;
    for row in &gone.rows {
        other.execute([int(*row)])?;
    }
    media(tx, service, &gone.media)
}

fn messages(tx: &Connection, service: Blob, enquiry: Blob) -> Result<()> {
    let mut found = tx.prepare_cached(
        "SELECT id, message, provider_id FROM messages WHERE service = ?1 AND enquiry = ?2",
    )?;
    let mut rows = found.query((service, enquiry))?;
    while let Some(row) = rows.next()? {
        let (id, message, provider_id): (i64, Blob, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        tx.prepare_cached("DELETE FROM messages_text WHERE rowid = ?1")?.execute([id])?;
        tx.prepare_cached("DELETE FROM deliveries WHERE service = ?1 AND message = ?2")?
            .execute((service, message))?;
        tx.prepare_cached("DELETE FROM reactions WHERE service = ?1 AND provider_id = ?2")?
            .execute((service, provider_id))?;
    }
    tx.prepare_cached("DELETE FROM messages WHERE service = ?1 AND enquiry = ?2")?
        .execute((service, enquiry))?;
    Ok(())
}

/// Removes media; the digests of files that nothing refers to any more.
pub(crate) fn media(
    tx: &Connection,
    service: ServiceId,
    media: &[(MediaId, String)],
) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for (id, _) in media {
        tx.prepare_cached("DELETE FROM media WHERE service = ?1 AND media = ?2")?
            .execute((service.blob(), id.blob()))?;
    }
    for (_, sha256) in media {
        let used = tx
            .prepare_cached("SELECT 1 FROM media WHERE sha256 = ?1 LIMIT 1")?
            .query_row([sha256], |_| Ok(()))
            .optional()?;
        if used.is_none() {
            unused.push(sha256.clone());
        }
    }
    Ok(unused)
}

/// Files that are kept no longer, and what rooms say of them; the digests of those that nothing
/// refers to any more.
pub(crate) fn expired(
    tx: &Connection,
    service: ServiceId,
    old: &[OldMedia],
) -> Result<Vec<String>> {
    for message in old.iter().filter_map(|media| media.message) {
        let content: Option<String> = tx
            .prepare_cached("SELECT content FROM messages WHERE service = ?1 AND message = ?2")?
            .query_row((service.blob(), message.blob()), |row| row.get(0))
            .optional()?;
        let Some(mut content) = content.as_deref().map(parse::<Content>).transpose()? else {
            continue;
        };
        content.forget_file();
        tx.prepare_cached(
            "UPDATE messages SET content = ?3, media_unavailable = ?4
             WHERE service = ?1 AND message = ?2",
        )?
        .execute((service.blob(), message.blob(), json(&content), WHY))?;
    }
    let gone: Vec<_> = old.iter().map(|media| (media.media, media.sha256.clone())).collect();
    media(tx, service, &gone)
}
