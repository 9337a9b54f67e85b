//! Reads out of a template what has to be filled in when it is sent.

use serde_json::Value;

/// What a template wants filled in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// The variables of its text, each once: names, or `1`, `2` and so on.
    pub body: Vec<String>,
    /// The variables have names instead of numbers.
    pub named: bool,
    pub header: HeaderWants,
    pub buttons: Vec<ButtonWants>,
    /// The kind of a part that is none of these, in lower case.
    pub other: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum HeaderWants {
    #[default]
    Nothing,
    /// Its line's variables.
    Text(Vec<String>),
    Image,
    Video,
    Document,
    Location,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ButtonWants {
    /// Over all buttons.
    pub index: u8,
    pub kind: ButtonWanted,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ButtonWanted {
    /// The end of its address, or a one-time code.
    Url,
    /// A code that it copies.
    Code,
    /// What its tap comes back with; it may be left out.
    Reply,
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
                    wants.named |= has_names(&text);
                    wants.body = text;
                }
                "HEADER" => wants.header(component, text),
                "BUTTONS" => {
                    let all = component.get("buttons").and_then(Value::as_array)?;
                    let open = all.iter().zip(0..).filter_map(|(button, index)| {
                        Some(ButtonWants { index, kind: wanted(button)? })
                    });
                    wants.buttons = open.collect();
                }
                "FOOTER" => {}
                _ => wants.other = Some(kind.to_ascii_lowercase()),
            }
        }
        Some(wants)
    }

    fn header(&mut self, component: &Value, text: Vec<String>) {
        let format = component.get("format").and_then(Value::as_str).unwrap_or("TEXT");
        self.header = match format.to_ascii_uppercase().as_str() {
            "TEXT" if text.is_empty() => HeaderWants::Nothing,
            "TEXT" => {
                self.named |= has_names(&text);
                HeaderWants::Text(text)
            }
            "IMAGE" => HeaderWants::Image,
            "VIDEO" => HeaderWants::Video,
            "DOCUMENT" => HeaderWants::Document,
            "LOCATION" => HeaderWants::Location,
            other => {
                self.other = Some(format!("{} header", other.to_ascii_lowercase()));
                HeaderWants::Nothing
            }
        };
    }
}

fn has_names(variables: &[String]) -> bool {
    variables.iter().any(|name| !name.bytes().all(|byte| byte.is_ascii_digit()))
}

fn wanted(button: &Value) -> Option<ButtonWanted> {
    let kind = button.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind.to_ascii_uppercase().as_str() {
        "URL" if variables(button.get("url")).is_empty() => None,
        "URL" | "OTP" => Some(ButtonWanted::Url),
        "COPY_CODE" => Some(ButtonWanted::Code),
        "QUICK_REPLY" => Some(ButtonWanted::Reply),
        _ => None,
    }
}

/// The names (or numbers) between `{{` and `}}`, each once.
fn variables(text: Option<&Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let text = text.and_then(Value::as_str).unwrap_or_default();
    for rest in text.split("{{").skip(1) {
        let Some((name, _)) = rest.split_once("}}") else { continue };
        let name = name.trim();
        if !name.is_empty() && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_open_is_found_once() {
        let wants = Wants::of(&json!([
            {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
            {"type": "BODY", "text": "Hello {{1}}, {{ 2 }} for {{1}} {{"},
            {"type": "FOOTER", "text": "Bye"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"},
                {"type": "URL", "url": "https://example.com/"},
                {"type": "URL", "url": "https://example.com/{{1}}"},
                {"type": "COPY_CODE", "example": "SAVE10"}]},
        ]));
        let expected = Wants {
            body: vec!["1".into(), "2".into()],
            named: false,
            header: HeaderWants::Text(vec!["1".into()]),
            buttons: vec![
                ButtonWants { index: 0, kind: ButtonWanted::Reply },
                ButtonWants { index: 2, kind: ButtonWanted::Url },
                ButtonWants { index: 3, kind: ButtonWanted::Code },
            ],
            other: None,
        };
        assert_eq!(wants, Some(expected));
    }

    #[test]
    fn names_files_and_what_cannot_be_read() {
        let wants = Wants::of(&json!([
            {"type": "header", "format": "image"},
            {"type": "body", "text": "Hello {{first_name}}"},
        ]));
        let body = vec!["first_name".into()];
        let header = HeaderWants::Image;
        assert_eq!(wants, Some(Wants { body, named: true, header, ..Wants::default() }));
        assert_eq!(Wants::of(&json!([{"type": "BODY", "text": "Hi"}])), Some(Wants::default()));
        assert_eq!(Wants::of(&Value::Null), None);
        let other = |component| Wants::of(&json!([component])).unwrap().other;
        assert_eq!(other(json!({"type": "CAROUSEL", "cards": []})).as_deref(), Some("carousel"));
        let product = other(json!({"type": "HEADER", "format": "PRODUCT"}));
        assert_eq!(product.as_deref(), Some("product header"));
    }
}
