//! Reads out of a template what has to be filled in when it is sent.

use serde_json::Value;

/// What a template wants filled in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// Different variables in the body.
    pub body: usize,
    /// The variables have names instead of numbers.
    pub named: bool,
    pub header: HeaderWants,
    /// Buttons with a variable or a code.
    pub buttons: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HeaderWants {
    #[default]
    Nothing,
    Text,
    /// A picture, a video, a document or a place.
    File,
}

impl Wants {
    /// `None`: the components could not be read.
    pub(super) fn of(components: &Value) -> Option<Self> {
        let mut wants = Self::default();
        for component in components.as_array()? {
            let text = variables(component.get("text"));
            let kind = component.get("type").and_then(Value::as_str).unwrap_or_default();
            match kind.to_ascii_uppercase().as_str() {
                "BODY" => {
                    wants.body = text.len();
                    wants.named = text.iter().any(|name| !name.bytes().all(|b| b.is_ascii_digit()));
                }
                "HEADER" => wants.header = header(component, !text.is_empty()),
                "BUTTONS" => {
                    let buttons = component.get("buttons").and_then(Value::as_array)?;
                    wants.buttons = buttons.iter().filter(|button| is_open(button)).count();
                }
                _ => {}
            }
        }
        Some(wants)
    }
}

fn header(component: &Value, has_variable: bool) -> HeaderWants {
    let format = component.get("format").and_then(Value::as_str).unwrap_or("TEXT");
    match format.to_ascii_uppercase().as_str() {
        "TEXT" if has_variable => HeaderWants::Text,
        "TEXT" => HeaderWants::Nothing,
        _ => HeaderWants::File,
    }
}

/// An address that ends in a variable, or a code to be copied.
fn is_open(button: &Value) -> bool {
    let kind = button.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind.to_ascii_uppercase().as_str() {
        "URL" => !variables(button.get("url")).is_empty(),
        "COPY_CODE" | "OTP" => true,
        _ => false,
    }
}

/// The names (or numbers) between `{{` and `}}`, each once.
fn variables(text: Option<&Value>) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let text = text.and_then(Value::as_str).unwrap_or_default();
    for rest in text.split("{{").skip(1) {
        let Some((name, _)) = rest.split_once("}}") else { continue };
        let name = name.trim();
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_open_is_counted_once() {
        let wants = Wants::of(&json!([
            {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
            {"type": "BODY", "text": "Hello {{1}}, {{ 2 }} for {{1}} {{"},
            {"type": "FOOTER", "text": "Bye"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"},
                {"type": "URL", "url": "https://example.com/{{1}}"},
                {"type": "URL", "url": "https://example.com/"}]},
        ]));
        let header = HeaderWants::Text;
        assert_eq!(wants, Some(Wants { body: 2, named: false, header, buttons: 1 }));
    }

    #[test]
    fn names_files_and_what_cannot_be_read() {
        let wants = Wants::of(&json!([
            {"type": "header", "format": "image"},
            {"type": "body", "text": "Hello {{first_name}}"},
        ]));
        let header = HeaderWants::File;
        assert_eq!(wants, Some(Wants { body: 1, named: true, header, buttons: 0 }));
        assert_eq!(Wants::of(&json!([{"type": "BODY", "text": "Hi"}])), Some(Wants::default()));
        assert_eq!(Wants::of(&Value::Null), None);
    }
}
