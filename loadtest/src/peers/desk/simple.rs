//! The agent protocol of the peers: JSON frames with a `type`.

use serde::Deserialize;
use serde_json::json;

use super::{Desk, Told};

/// An agent of one of the peers.
#[derive(Debug)]
pub(in crate::peers) struct SimpleDesk {
    agent: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    Welcome { enquiries: Vec<Enquiry> },
    Assigned(Enquiry),
    Message { visitor: String, message: Message },
    Closed { visitor: String },
}

/// A visitor has one enquiry at a time, which goes by the visitor's name.
#[derive(Deserialize)]
struct Enquiry {
    visitor: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

impl SimpleDesk {
    pub(in crate::peers) fn new(agent: &str, token: &str) -> Self {
        Self { agent: agent.to_owned(), token: token.to_owned() }
    }
}

fn messages(enquiry: &Enquiry, pushed: bool) -> impl Iterator<Item = Told> {
    enquiry.messages.iter().map(move |message| Told::Message {
        enquiry: enquiry.visitor.clone(),
        text: message.text.clone(),
        pushed,
    })
}

impl Desk for SimpleDesk {
    fn hello(&mut self) -> String {
        json!({ "type": "hello", "agent": self.agent, "token": self.token }).to_string()
    }

    fn hear(&mut self, frame: &str, told: &mut Vec<Told>, _: &mut Vec<String>) -> bool {
        let Ok(frame) = serde_json::from_str(frame) else { return false };
        match frame {
            Frame::Welcome { enquiries } => {
                let held = enquiries.iter().map(|enquiry| enquiry.visitor.clone()).collect();
                told.push(Told::Ready { held: Some(held) });
                for enquiry in &enquiries {
                    told.extend(messages(enquiry, false));
                }
            }
            Frame::Assigned(enquiry) => {
                told.push(Told::Assigned { enquiry: enquiry.visitor.clone() });
                told.extend(messages(&enquiry, true));
            }
            Frame::Message { visitor, message } => {
                told.push(Told::Message { enquiry: visitor, text: message.text, pushed: true });
            }
            Frame::Closed { visitor } => told.push(Told::Closed { enquiry: visitor }),
        }
        true
    }

    fn gone(&mut self, _: Option<u16>, _: &str) {}

    fn close(&mut self, enquiry: &str) -> Option<String> {
        Some(json!({ "type": "close", "visitor": enquiry }).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frame: &str) -> Vec<Told> {
        let mut told = Vec::new();
        let made_sense = SimpleDesk::new("a1", "t").hear(frame, &mut told, &mut Vec::new());
        assert!(made_sense, "{frame}");
        told
    }

    fn message(text: &str, pushed: bool) -> Told {
        Told::Message { enquiry: "49151".into(), text: text.into(), pushed }
    }

    #[test]
    fn an_assigned_enquiry_brings_its_messages_as_they_happen() {
        let told = heard(
            r#"{"type":"assigned","visitor":"49151","messages":[{"id":"x","text":"m1"},{"id":"y","text":"m2"}]}"#,
        );
        let assigned = Told::Assigned { enquiry: "49151".into() };
        assert_eq!(told, [assigned, message("m1", true), message("m2", true)]);
    }

    #[test]
    fn what_a_welcome_brings_is_read_up_and_not_pushed() {
        let told = heard(
            r#"{"type":"welcome","enquiries":[{"visitor":"49151","messages":[{"id":"x","text":"m1"}]}]}"#,
        );
        let ready = Told::Ready { held: Some(vec!["49151".into()]) };
        assert_eq!(told, [ready, message("m1", false)]);
    }

    #[test]
    fn an_unknown_frame_makes_no_sense() {
        let mut desk = SimpleDesk::new("a1", "t");
        assert!(!desk.hear(r#"{"type":"surprise"}"#, &mut Vec::new(), &mut Vec::new()));
    }
}
