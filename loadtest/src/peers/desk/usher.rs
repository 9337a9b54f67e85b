//! The agent protocol of Usher: the client's half of `usher-protocol`, read as a screen would.

use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::message::Content;
use usher_protocol::command::{Command, PageLimit};
use usher_protocol::event::{Entry, Event, Head, History, Message, Relation};
use usher_protocol::feed::{FeedClient, Incoming};
use usher_protocol::frame::Token;

use super::{Desk, Told};

/// Most a room is read up at once; the longest there is here has fewer.
const PAGE: u64 = 100;

/// An agent of Usher.
#[derive(Debug)]
pub(in crate::peers) struct UsherDesk {
    token: String,
    me: Option<StaffId>,
    feed: FeedClient,
}

impl UsherDesk {
    pub(in crate::peers) fn new(token: &str) -> Self {
        Self { token: token.to_owned(), me: None, feed: FeedClient::new() }
    }

    fn event(&mut self, event: Event, told: &mut Vec<Told>, write: &mut Vec<String>) {
        match event {
            Event::PickedUp { enquiry, by, .. } if Some(by.id) == self.me => {
                self.taken(&enquiry, told, write);
            }
            Event::Received { message } => told.extend(text(&message, true)),
            Event::Closed { enquiry, .. } => {
                told.push(Told::Closed { enquiry: enquiry.to_string() });
            }
            _ => {}
        }
    }

    /// The head shows how the first message begins; what came while the enquiry waited in line is
    /// read up.
    fn taken(&mut self, head: &Head, told: &mut Vec<Told>, write: &mut Vec<String>) {
        told.push(Told::Assigned { enquiry: head.id.to_string() });
        if let Some(text) = head.first_message.clone() {
            told.push(Told::Message { enquiry: head.id.to_string(), text, pushed: true });
        }
        if head.order > FIRST_ORDER {
            write.extend(self.read_up(head.id));
        }
    }

    fn read_up(&mut self, enquiry: EnquiryId) -> Option<String> {
        let limit = PageLimit::try_from(PAGE).ok()?;
        self.feed.submit(Command::History { enquiry, before: None, limit }).ok()?.frame
    }

    fn snapshot(&mut self, heads: &[Head], told: &mut Vec<Told>, write: &mut Vec<String>) {
        let held: Vec<&Head> =
            heads.iter().filter(|head| head.relation == Relation::Owner).collect();
        let ids = held.iter().map(|head| head.id.to_string()).collect();
        told.push(Told::Ready { held: Some(ids) });
        for head in held {
            write.extend(self.read_up(head.id));
        }
    }
}

/// Where a room that holds nothing but its first message and the pick-up ends.
const FIRST_ORDER: u64 = 2;

fn text(message: &Message, pushed: bool) -> Option<Told> {
    let Content::Text { body } = &message.content else { return None };
    let enquiry = message.enquiry.to_string();
    Some(Told::Message { enquiry, text: body.clone(), pushed })
}

impl Desk for UsherDesk {
    fn hello(&mut self) -> String {
        self.feed.hello(Some(Token::new(self.token.clone())))
    }

    fn hear(&mut self, frame: &str, told: &mut Vec<Told>, write: &mut Vec<String>) -> bool {
        match self.feed.receive(frame) {
            Incoming::Welcome { welcome, repeat, .. } => {
                self.me = Some(welcome.staff.id);
                write.extend(repeat);
                if welcome.recovered {
                    told.push(Told::Ready { held: None });
                }
            }
            Incoming::Snapshot { heads, .. } => self.snapshot(&heads, told, write),
            Incoming::Apply(event) => {
                if let Some(event) = event.typed() {
                    self.event(event, told, write);
                }
            }
            Incoming::Answer { command, outcome: Ok(page), .. } => {
                if matches!(*command, Command::History { .. })
                    && let Ok(history) = serde_json::from_value::<History>(page)
                {
                    let messages = history.entries.iter().rev().filter_map(|entry| match entry {
                        Entry::Message(message) => text(message, false),
                        _ => None,
                    });
                    told.extend(messages);
                }
            }
            Incoming::Reconnect { .. } => return false,
            Incoming::Now(_)
            | Incoming::Bye(_)
            | Incoming::Answer { .. }
            | Incoming::Duplicate { .. }
            | Incoming::Nothing => {}
        }
        true
    }

    fn gone(&mut self, code: Option<u16>, reason: &str) {
        // The caller comes back at once whatever is advised: it measures just that.
        self.feed.closed(code, reason);
    }

    fn close(&mut self, enquiry: &str) -> Option<String> {
        let enquiry: EnquiryId = enquiry.parse().ok()?;
        let close = Command::Close { enquiry, silent: true, reason: None };
        self.feed.submit(close).ok()?.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELCOME: &str = r#"{"welcome":{"session":"ses_0198f3a27c5e7d10a4b2c6d8e0f1a2b3","epoch":"1d8f3a","offset":130,"recovered":false,"staff":{"id":"stf_0198f3a27c5e7d10a4b2c6d8e0f1a201","name":"Ana Lee","role":"agent","presence":"active","capacity":5},"heartbeat":25}}"#;
    const HEAD: &str = r#"{"id":"enq_0198f3a27c5e7d10a4b2c6d8e0f1a2b4","as":"owner","state":"ongoing","channel":{"id":"chn_0198f3a27c5e7d10a4b2c6d8e0f1a2c1","name":"Shop"},"visitor":{"id":"vis_0198f3a27c5e7d10a4b2c6d8e0f1a2d1"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","first_message":"m7 1/3","order":ORDER}"#;

    fn hears(desk: &mut UsherDesk, frame: &str) -> (Vec<Told>, Vec<String>) {
        let (mut told, mut write) = (Vec::new(), Vec::new());
        assert!(desk.hear(frame, &mut told, &mut write), "{frame}");
        (told, write)
    }

    fn greeted() -> UsherDesk {
        let mut desk = UsherDesk::new("t");
        desk.hello();
        hears(&mut desk, WELCOME);
        hears(&mut desk, r#"{"done":{"at":130,"parts":0}}"#);
        desk
    }

    fn picked_up(order: u64) -> String {
        let head = HEAD.replace("ORDER", &order.to_string());
        format!(
            r#"{{"at":131,"event":"enquiry.picked_up","data":{{"enquiry":{head},"by":{{"id":"stf_0198f3a27c5e7d10a4b2c6d8e0f1a201","name":"Ana Lee"}},"how":"auto","epoch":1}}}}"#
        )
    }

    #[test]
    fn a_pick_up_shows_the_first_message_without_asking() {
        let (told, written) = hears(&mut greeted(), &picked_up(FIRST_ORDER));
        let enquiry = "enq_0198f3a27c5e7d10a4b2c6d8e0f1a2b4".to_owned();
        let first = Told::Message { enquiry: enquiry.clone(), text: "m7 1/3".into(), pushed: true };
        assert_eq!(told, [Told::Assigned { enquiry }, first]);
        assert!(written.is_empty(), "{written:?}");
    }

    #[test]
    fn a_room_with_more_in_it_is_read_up() {
        let (_, written) = hears(&mut greeted(), &picked_up(FIRST_ORDER + 1));
        assert!(written[0].contains("\"history\""), "{written:?}");
    }

    #[test]
    fn a_snapshot_says_what_is_held() {
        let mut desk = UsherDesk::new("t");
        desk.hello();
        hears(&mut desk, WELCOME);
        let head = HEAD.replace("ORDER", "5");
        hears(&mut desk, &format!(r#"{{"snapshot":{{"part":1,"heads":[{head}]}}}}"#));
        let (told, written) = hears(&mut desk, r#"{"done":{"at":130,"parts":1}}"#);
        let held = Some(vec!["enq_0198f3a27c5e7d10a4b2c6d8e0f1a2b4".to_owned()]);
        assert_eq!(told, [Told::Ready { held }]);
        assert_eq!(written.len(), 1);
    }

    #[test]
    fn a_gap_sends_it_back() {
        let event = picked_up(2).replace("131", "133");
        assert!(!greeted().hear(&event, &mut Vec::new(), &mut Vec::new()));
    }
}
