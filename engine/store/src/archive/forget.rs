//! Taking out of the archive what was taken out of the journal.

use usher_domain::ids::{EnquiryId, MediaId, ServiceId};
use usher_domain::message::Content;

use super::project::is_live_no_more;
use super::read::OldMedia;
use crate::db::{Db, Result};
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
pub(crate) fn forget(tx: &Db, service: ServiceId, gone: &Gone) -> Result<Vec<String>> {
    for enquiry in &gone.enquiries {
        messages(tx, service.blob(), enquiry.blob())?;
        for table in ["labels", "members", "decisions", "events", "enquiries"] {
            let sql = format!("DELETE FROM {table} WHERE service = ?1 AND enquiry = ?2");
            tx.run(&sql, (service.blob(), enquiry.blob()))?;
        }
        is_live_no_more(tx, service.blob(), enquiry.blob())?;
    }
    for row in &gone.rows {
        tx.run("DELETE FROM other_ids WHERE id = ?1", [int(*row)])?;
    }
    media(tx, service, &gone.media)
}

fn messages(tx: &Db, service: Blob, enquiry: Blob) -> Result<()> {
    let found: Vec<(i64, Blob, Option<String>)> = tx.all(
        "SELECT id, message, provider_id FROM messages WHERE service = ?1 AND enquiry = ?2",
        (service, enquiry),
        |row| Ok((row.get("id")?, row.get("message")?, row.get("provider_id")?)),
    )?;
    for (id, message, provider_id) in found {
        tx.forget_words(id)?;
        tx.run("DELETE FROM deliveries WHERE service = ?1 AND message = ?2", (service, message))?;
        tx.run(
            "DELETE FROM reactions WHERE service = ?1 AND provider_id = ?2",
            (service, provider_id),
        )?;
    }
    tx.run("DELETE FROM messages WHERE service = ?1 AND enquiry = ?2", (service, enquiry))
}

/// Removes media; the digests of files that nothing refers to any more.
pub(crate) fn media(
    tx: &Db,
    service: ServiceId,
    media: &[(MediaId, String)],
) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for (id, _) in media {
        tx.run("DELETE FROM media WHERE service = ?1 AND media = ?2", (service.blob(), id.blob()))?;
    }
    for (_, sha256) in media {
        let used = tx.one("SELECT 1 FROM media WHERE sha256 = ?1 LIMIT 1", [sha256], |_| Ok(()))?;
        if used.is_none() {
            unused.push(sha256.clone());
        }
    }
    Ok(unused)
}

/// Files that are kept no longer, and what rooms say of them; the digests of those that nothing
/// refers to any more.
pub(crate) fn expired(tx: &Db, service: ServiceId, old: &[OldMedia]) -> Result<Vec<String>> {
    for message in old.iter().filter_map(|media| media.message) {
        let content: Option<String> = tx.one(
            "SELECT content FROM messages WHERE service = ?1 AND message = ?2",
            (service.blob(), message.blob()),
            |row| row.get("content"),
        )?;
        let Some(mut content) = content.as_deref().map(parse::<Content>).transpose()? else {
            continue;
        };
        content.forget_file();
        tx.run(
            "UPDATE messages SET content = ?3, media_unavailable = ?4
             WHERE service = ?1 AND message = ?2",
            (service.blob(), message.blob(), json(&content), WHY),
        )?;
    }
    let gone: Vec<_> = old.iter().map(|media| (media.media, media.sha256.clone())).collect();
    media(tx, service, &gone)
}
