//! Visitors: by id, by the provider's ids, and whom they are bound to.

use usher_domain::ids::{ServiceId, StaffId, VisitorId};
use usher_domain::visitor::{Binding, Visitor};

use super::ArchiveReader;
use crate::error::StoreError;
use crate::sql::{Blob, Id};

/// One binding and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BindingRow {
    pub visitor: VisitorId,
    pub binding: Binding,
}

impl ArchiveReader {
    pub fn visitor_by_wa_id(
        &self,
        service: ServiceId,
        wa_id: &str,
    ) -> Result<Option<Visitor>, StoreError> {
        self.visitor_known_as(service, "wa_id", wa_id)
    }

    pub fn visitor_by_user_id(
        &self,
        service: ServiceId,
        user_id: &str,
    ) -> Result<Option<Visitor>, StoreError> {
        self.visitor_known_as(service, "user_id", user_id)
    }

    fn visitor_known_as(
        &self,
        service: ServiceId,
        kind: &str,
        value: &str,
    ) -> Result<Option<Visitor>, StoreError> {
        self.one(
            "SELECT body FROM identities JOIN visitors USING (service, visitor)
             WHERE service = ?1 AND kind = ?2 AND value = ?3",
            (service.blob(), kind, value),
            |row| row.json("body"),
        )
    }

    /// The visitor, or the one it was merged into.
    pub fn visitor(
        &self,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<Option<Visitor>, StoreError> {
        self.one(
            "SELECT kept.body FROM visitors AS asked JOIN visitors AS kept
               ON kept.service = asked.service
               AND kept.visitor = coalesce(asked.merged_into, asked.visitor)
             WHERE asked.service = ?1 AND asked.visitor = ?2",
            (service.blob(), visitor.blob()),
            |row| row.json("body"),
        )
    }

    /// Everybody bound to a staff member.
    pub fn bindings_to(
        &self,
        service: ServiceId,
        staff: StaffId,
    ) -> Result<Vec<BindingRow>, StoreError> {
        self.all(
            "SELECT * FROM bindings WHERE service = ?1 AND staff = ?2 ORDER BY set_at",
            (service.blob(), staff.blob()),
            |row| {
                // Empty: the binding holds on all channels.
                let channel: Vec<u8> = row.get("channel")?;
                let channel = Blob::try_from(channel).ok().map(Id::from_blob);
                let binding = Binding {
                    kind: row.word("kind")?,
                    staff: row.id("staff")?,
                    channel,
                    set_at: row.time("set_at")?,
                    expires_at: row.time_opt("expires_at")?,
                };
                Ok(BindingRow { visitor: row.id("visitor")?, binding })
            },
        )
    }
}
