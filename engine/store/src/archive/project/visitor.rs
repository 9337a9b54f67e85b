//! Visitors, the ids they are known by, and their bindings.

use usher_domain::ids::VisitorId;
use usher_domain::visitor::Visitor;

use super::Target;
use crate::db::Result;
use crate::sql::{Id, json, millis, word};

/// The visitor is new or has changed; an id that somebody else had is theirs now.
pub(super) fn changed(t: &Target<'_>, visitor: &Visitor) -> Result<()> {
    let id = visitor.id.blob();
    t.run(
        "INSERT INTO visitors (service, visitor, seq, name, blocked, opted_out, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (service, visitor) DO UPDATE SET seq = excluded.seq, name = excluded.name,
           blocked = excluded.blocked, opted_out = excluded.opted_out, body = excluded.body",
        (
            t.service,
            id,
            t.seq,
            visitor.name.as_deref(),
            visitor.blocked,
            visitor.opted_out,
            json(visitor),
        ),
    )?;
    identities(t, visitor)?;
    bindings(t, visitor)
}

/// Seldom other than they were: then nothing is written.
fn identities(t: &Target<'_>, visitor: &Visitor) -> Result<()> {
    let id = visitor.id.blob();
    let identities = &visitor.identities;
    let known: Vec<(&str, &str)> = [("user_id", &identities.user_id), ("wa_id", &identities.wa_id)]
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value.as_deref()?)))
        .collect();
    let before: Vec<(String, String)> = t.tx.all(
        "SELECT kind, value FROM identities WHERE service = ?1 AND visitor = ?2 ORDER BY kind",
        (t.service, id),
        |row| Ok((row.get("kind")?, row.get("value")?)),
    )?;
    if before.iter().map(|(kind, value)| (kind.as_str(), value.as_str())).eq(known.iter().copied())
    {
        return Ok(());
    }
    t.run("DELETE FROM identities WHERE service = ?1 AND visitor = ?2", (t.service, id))?;
    for (kind, value) in known {
        t.run(
            "INSERT INTO identities (service, kind, value, visitor) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (service, kind, value) DO UPDATE SET visitor = excluded.visitor",
            (t.service, kind, value, id),
        )?;
    }
    Ok(())
}

fn bindings(t: &Target<'_>, visitor: &Visitor) -> Result<()> {
    let id = visitor.id.blob();
    t.run("DELETE FROM bindings WHERE service = ?1 AND visitor = ?2", (t.service, id))?;
    for binding in &visitor.bindings {
        let channel = binding.channel.map_or(Vec::new(), |channel| channel.blob().to_vec());
        t.run(
            "INSERT INTO bindings (service, visitor, kind, channel, staff, set_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (service, visitor, kind, channel, staff) DO UPDATE SET
               set_at = excluded.set_at, expires_at = excluded.expires_at",
            (
                t.service,
                id,
                word(&binding.kind),
                channel,
                binding.staff.blob(),
                millis(binding.set_at),
                binding.expires_at.map(millis),
            ),
        )?;
    }
    Ok(())
}

/// What was the gone visitor's is the kept one's; where both have something, the kept one's stands.
pub(super) fn merged(t: &Target<'_>, kept: VisitorId, gone: VisitorId) -> Result<()> {
    let pair = (t.service, kept.blob(), gone.blob());
    for statement in [
        "UPDATE visitors SET merged_into = ?2 WHERE service = ?1 AND visitor = ?3",
        // Who had been merged into the gone one before.
        "UPDATE visitors SET merged_into = ?2 WHERE service = ?1 AND merged_into = ?3",
        "UPDATE identities SET visitor = ?2 WHERE service = ?1 AND visitor = ?3",
        "UPDATE bindings SET visitor = ?2 WHERE service = ?1 AND visitor = ?3
           AND NOT EXISTS (SELECT 1 FROM bindings AS kept WHERE kept.service = ?1
             AND kept.visitor = ?2 AND kept.kind = bindings.kind
             AND kept.channel = bindings.channel AND kept.staff = bindings.staff)",
        "UPDATE enquiries SET visitor = ?2 WHERE service = ?1 AND visitor = ?3",
        "UPDATE messages SET visitor = ?2 WHERE service = ?1 AND visitor = ?3",
    ] {
        t.run(statement, pair)?;
    }
    t.run("DELETE FROM bindings WHERE service = ?1 AND visitor = ?2", (t.service, gone.blob()))?;
    Ok(())
}
