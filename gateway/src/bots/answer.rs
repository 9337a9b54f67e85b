//! What a bot says: read strictly, so that its maker hears of a mistake at once.

use serde::Deserialize;
use thiserror::Error;
use usher_engine::BotAction;

/// Bytes of an answer.
pub(crate) const BODY_MAX: usize = 64 * 1024;
const ACTIONS_MAX: usize = 10;

/// Why an answer was not taken.
#[derive(Debug, Error)]
pub(crate) enum Unfit {
    #[error("more than {BODY_MAX} bytes")]
    TooLarge,
    #[error("not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("more than {ACTIONS_MAX} actions")]
    TooMany,
    #[error("an action after `hand_over` or `close`")]
    AfterTheEnd,
    #[error("`{0}` is not a language tag, as \"de\" or \"pt-br\"")]
    Language(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    actions: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Reply(Reply),
    Set(Set),
    HandOver(Nothing),
    Close(Nothing),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Has to stand there, even as `null`.
    #[serde(deserialize_with = "Option::deserialize")]
    language: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// An empty body is an answer without actions.
pub(super) fn read(body: &[u8]) -> Result<Vec<BotAction>, Unfit> {
    if body.len() > BODY_MAX {
        return Err(Unfit::TooLarge);
    }
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let Answer { actions } = serde_json::from_slice(body)?;
    if actions.len() > ACTIONS_MAX {
        return Err(Unfit::TooMany);
    }
    let end =
        actions.iter().position(|action| matches!(action, Action::HandOver(_) | Action::Close(_)));
    if end.is_some_and(|end| end + 1 < actions.len()) {
        return Err(Unfit::AfterTheEnd);
    }
    actions.into_iter().map(action).collect()
}

fn action(action: Action) -> Result<BotAction, Unfit> {
    Ok(match action {
        Action::Reply(Reply { text }) => BotAction::Reply { text },
        Action::Set(Set { language }) => {
            BotAction::Set { language: language.map(language_tag).transpose()? }
        }
        Action::HandOver(Nothing {}) => BotAction::HandOver,
        Action::Close(Nothing {}) => BotAction::Close,
    })
}

/// As the settings write them: lower case, a hyphen between the parts.
fn language_tag(written: String) -> Result<String, Unfit> {
    let tag = written.replace('_', "-").to_ascii_lowercase();
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    let fits = (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    if fits { Ok(tag) } else { Err(Unfit::Language(written)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read() {
        let body = br#"{"actions":[
            {"reply":{"text":"Guten Tag!"}},
            {"set":{"language":"DE_at"}},
            {"set":{"language":null}},
            {"hand_over":{}}
        ]}"#;
        let expected = [
            BotAction::Reply { text: "Guten Tag!".to_owned() },
            BotAction::Set { language: Some("de-at".to_owned()) },
            BotAction::Set { language: None },
            BotAction::HandOver,
        ];
        assert_eq!(read(body).unwrap(), expected);
        assert_eq!(read(br#"{"actions":[{"close":{}}]}"#).unwrap(), [BotAction::Close]);
        for nothing in [&b""[..], b" \n", br#"{"actions":[]}"#] {
            assert_eq!(read(nothing).unwrap(), []);
        }
    }

    #[test]
    fn everything_else_is_a_mistake() {
        for body in [
            "{}",
            "[]",
            "null",
            "OK",
            r#"{"actions":[],"more":1}"#,
            r#"{"actions":[{}]}"#,
            r#"{"actions":[{"reply":"Hi"}]}"#,
            r#"{"actions":[{"reply":{}}]}"#,
            r#"{"actions":[{"reply":{"text":"Hi","to":"x"}}]}"#,
            r#"{"actions":[{"reply":{"text":"Hi"},"close":{}}]}"#,
            r#"{"actions":[{"shout":{"text":"Hi"}}]}"#,
            r#"{"actions":[{"set":{}}]}"#,
            r#"{"actions":[{"set":{"language":"German!"}}]}"#,
            r#"{"actions":[{"close":{}},{"reply":{"text":"Hi"}}]}"#,
            r#"{"actions":[{"hand_over":{}},{"close":{}}]}"#,
            r#"{"actions":[]} trailing"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        let many = format!(r#"{{"actions":[{}]}}"#, [r#"{"reply":{"text":"x"}}"#; 11].join(","));
        assert!(matches!(read(many.as_bytes()), Err(Unfit::TooMany)));
        assert!(matches!(read(&vec![b' '; BODY_MAX + 1]), Err(Unfit::TooLarge)));
    }
}
