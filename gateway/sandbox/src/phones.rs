//! Pretend phones: who they are, what they show of each conversation, and how far each message got.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::clock::Bucket;
use crate::receipts::Turns;

/// Messages a phone keeps per conversation.
const KEPT: usize = 2_000;
const WINDOW_MS: u64 = 24 * 3_600_000;

/// How far a message of the business got. Order matters: later ones are further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Accepted,
    Sent,
    Delivered,
    Read,
    Played,
    Failed,
}

impl Status {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// One message of a conversation, either way.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown as such")]
pub(crate) struct Entry {
    /// World-wide number of its last change.
    pub(crate) changed: u64,
    pub(crate) wamid: String,
    pub(crate) from_phone: bool,
    pub(crate) kind: String,
    pub(crate) body: Value,
    pub(crate) at_ms: u64,
    /// Of the business's messages only.
    pub(crate) status: Status,
    pub(crate) error: Option<i64>,
    pub(crate) callback_data: Option<String>,
    /// `service`, `marketing`, `utility` or `authentication`.
    pub(crate) category: String,
    pub(crate) by_user_id: bool,
    /// Of the phone's messages only: blue ticks.
    pub(crate) read_by_business: bool,
}

impl Entry {
    /// A message that was never sent is not on the phone.
    fn shown(&self) -> bool {
        self.from_phone || !matches!(self.status, Status::Accepted | Status::Failed)
    }

    fn show(&self) -> Value {
        let mut shown = json!({
            "changed": self.changed, "id": self.wamid, "type": self.kind, "at_ms": self.at_ms,
            "from": if self.from_phone { "phone" } else { "business" },
            "body": self.body, "shown": self.shown(),
        });
        if self.from_phone {
            shown["read_by_business"] = json!(self.read_by_business);
        } else {
            shown["status"] = json!(self.status.name());
            shown["error"] = json!(self.error);
            shown["callback_data"] = json!(self.callback_data);
        }
        shown
    }
}

/// The conversation of one phone with one number.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) pair: Bucket,
    pub(crate) typing_until_ms: u64,
    /// In which the business's messages come to the phone.
    pub(crate) turns: Turns,
    /// Time of the last message that opened the 24-hour window.
    window_from_ms: Option<u64>,
}

impl Default for Thread {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            pair: Bucket::new(45, Duration::from_secs(6)),
            typing_until_ms: 0,
            turns: Turns::default(),
            window_from_ms: None,
        }
    }
}

impl Thread {
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn find(&mut self, wamid: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.wamid == wamid)
    }

    pub(crate) fn open_window(&mut self, at_ms: u64) {
        self.window_from_ms = Some(self.window_from_ms.unwrap_or(0).max(at_ms));
    }

    pub(crate) fn window_open(&self, now_ms: u64) -> bool {
        self.window_from_ms.is_some_and(|from| now_ms < from + WINDOW_MS)
    }

    /// What changed after `after`, in the order of the conversation.
    pub(crate) fn show(&self, after: u64, now_ms: u64) -> Value {
        let entries: Vec<Value> =
            self.entries.iter().filter(|entry| entry.changed > after).map(Entry::show).collect();
        let cursor = self.entries.iter().map(|entry| entry.changed).max().unwrap_or(0).max(after);
        json!({
            "cursor": cursor, "entries": entries,
            "typing": now_ms < self.typing_until_ms,
            "window_open": self.window_open(now_ms),
        })
    }
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown as such")]
pub(crate) struct Phone {
    pub(crate) wa_id: String,
    pub(crate) user_id: String,
    pub(crate) name: Option<String>,
    pub(crate) username: Option<String>,
    /// A username adopter: webhooks do not tell the phone number.
    pub(crate) hidden: bool,
    pub(crate) online: bool,
    /// The person has blocked the business: what is sent never arrives.
    pub(crate) blocked: bool,
    pub(crate) changed: Arc<Notify>,
    /// By index of the number.
    pub(crate) threads: BTreeMap<usize, Thread>,
}

impl Phone {
    pub(crate) fn new(wa_id: &str) -> Self {
        let tail: String =
            wa_id.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        Self {
            wa_id: wa_id.to_owned(),
            user_id: user_id(wa_id),
            name: Some(format!("Visitor {tail}")),
            username: None,
            hidden: false,
            online: true,
            blocked: false,
            changed: Arc::new(Notify::new()),
            threads: BTreeMap::new(),
        }
    }

    pub(crate) fn thread(&mut self, number: usize) -> &mut Thread {
        self.threads.entry(number).or_default()
    }

    pub(crate) const fn reachable(&self) -> bool {
        self.online && !self.blocked
    }

    pub(crate) fn show(&self) -> Value {
        json!({
            "wa_id": self.wa_id, "user_id": self.user_id, "name": self.name,
            "username": self.username, "hide_phone": self.hidden,
            "online": self.online, "blocked": self.blocked,
        })
    }
}

const COUNTRIES: [(&str, &str); 17] = [
    ("852", "HK"),
    ("971", "AE"),
    ("886", "TW"),
    ("353", "IE"),
    ("1", "US"),
    ("31", "NL"),
    ("33", "FR"),
    ("34", "ES"),
    ("39", "IT"),
    ("44", "GB"),
    ("49", "DE"),
    ("52", "MX"),
    ("55", "BR"),
    ("60", "MY"),
    ("65", "SG"),
    ("86", "CN"),
    ("91", "IN"),
];

/// A business-scoped id that is always the same for the same number.
fn user_id(wa_id: &str) -> String {
    let country = COUNTRIES.iter().find(|(code, _)| wa_id.starts_with(code));
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in wa_id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{}.{hash:020}", country.map_or("US", |(_, country)| country))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_lasts_a_day_from_the_latest_message() {
        let mut thread = Thread::default();
        assert!(!thread.window_open(5));
        thread.open_window(1_000);
        thread.open_window(500);
        assert!(thread.window_open(999 + WINDOW_MS));
        assert!(!thread.window_open(1_000 + WINDOW_MS));
    }

    #[test]
    fn user_ids_are_steady_and_differ() {
        assert_eq!(user_id("491701"), user_id("491701"));
        assert_ne!(user_id("491701"), user_id("491702"));
        assert!(user_id("491701").starts_with("DE."));
        assert!(crate::validate::is_user_id(&user_id("85290001111")));
    }
}
