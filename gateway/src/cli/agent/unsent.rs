//! Messages of ours that failed, or of which nobody knows: numbered, so that one can be sent again.

use serde::Deserialize;
use serde_json::Value;
use usher_domain::ids::MessageId;
use usher_domain::message::Content;

use super::words;

/// Numbers given out; beyond it there are no new ones.
const NUMBERS_MAX: usize = 999;

#[derive(Debug, Default)]
pub(super) struct Unsent {
    numbered: Vec<MessageId>,
}

/// One of the list that the server keeps, as far as it is shown.
#[derive(Deserialize)]
struct Listed {
    message: MessageId,
    state: String,
    content: Content,
    visitor: Person,
    failure: Option<Failure>,
    resent: Option<Value>,
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    title: Option<String>,
}

impl Unsent {
    /// What a message is called from now on.
    pub(super) fn number(&mut self, message: MessageId) -> Option<usize> {
        let known = self.numbered.iter().position(|known| *known == message);
        let index = known.or_else(|| {
            (self.numbered.len() < NUMBERS_MAX).then(|| {
                self.numbered.push(message);
                self.numbered.len() - 1
            })
        });
        index.map(|index| index + 1)
    }

    /// The message with this number, or the one that failed last.
    pub(super) fn find(&self, number: Option<usize>) -> Result<MessageId, String> {
        let index = match number {
            Some(number) => number.checked_sub(1),
            None => self.numbered.len().checked_sub(1),
        };
        let found = index.and_then(|index| self.numbered.get(index)).copied();
        found.ok_or_else(|| "there is no such message; /failed shows them".to_owned())
    }

    /// What the server lists, one line each.
    pub(super) fn list(&mut self, answer: &Value) -> Vec<String> {
        let rows = answer.get("messages").and_then(Value::as_array);
        let rows = rows.into_iter().flatten().filter_map(|row| Listed::deserialize(row).ok());
        let wanted = rows.filter(|row| row.state != "waiting" && row.resent.is_none());
        let lines: Vec<String> = wanted.filter_map(|row| self.line(&row)).collect();
        if lines.is_empty() { vec!["nothing failed".to_owned()] } else { lines }
    }

    fn line(&mut self, row: &Listed) -> Option<String> {
        let number = self.number(row.message)?;
        let why = row.failure.as_ref().map(|failure| match &failure.title {
            Some(title) => format!(" ({title})"),
            None => format!(" ({})", failure.code),
        });
        let to = row.visitor.name.as_deref().unwrap_or("somebody");
        let (why, said) = (why.unwrap_or_default(), words::beginning(&row.content));
        Some(format!(" {number}: {}{why}, to {to}: {said}", row.state))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(number: u128, state: &str, resent: &Value) -> Value {
        json!({"message": MessageId::from_number(number), "state": state,
            "content": {"kind": "text", "body": "Your parcel"}, "visitor": {"name": "Vera"},
            "failure": {"code": 131_047, "title": "Re-engagement message"}, "resent": resent})
    }

    #[test]
    fn what_failed_keeps_its_number_and_what_was_sent_again_is_left_out() {
        let mut unsent = Unsent::default();
        assert_eq!(unsent.number(MessageId::from_number(7)), Some(1));
        let rows = json!({"messages": [row(8, "failed", &Value::Null), row(9, "waiting", &Value::Null),
            row(10, "failed", &json!({"message": "msg_1"})), row(7, "unknown", &Value::Null)]});
        let lines = unsent.list(&rows);
        assert_eq!(lines[0], " 2: failed (Re-engagement message), to Vera: Your parcel");
        assert!(lines[1].starts_with(" 1: unknown") && lines.len() == 2, "{lines:?}");
        assert_eq!(unsent.find(Some(1)), Ok(MessageId::from_number(7)));
        assert_eq!(unsent.find(None), Ok(MessageId::from_number(8)));
        assert!(unsent.find(Some(0)).is_err() && unsent.find(Some(3)).is_err());
        assert_eq!(Unsent::default().list(&json!({"messages": []})), ["nothing failed"]);
    }
}
