//! Decides the form of templates, the only messages that go outside the window.

use serde_json::{Value, json};

use super::limits::{self, Invalid};
use super::{MediaSource, put};

/// An approved template with its variables filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub name: String,
    /// Such as `en_US`.
    pub language: String,
    pub components: Vec<Component>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Component {
    Header(Vec<Parameter>),
    Body(Vec<Parameter>),
    Button { kind: ButtonKind, index: u8, parameters: Vec<Parameter> },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ButtonKind {
    QuickReply,
    Url,
    CopyCode,
    Flow,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// `name` only for templates with named variables.
    Text {
        text: String,
        name: Option<String>,
    },
    /// `amount_1000` is the amount times 1,000.
    Currency {
        fallback: String,
        code: String,
        amount_1000: i64,
    },
    DateTime {
        fallback: String,
    },
    Image(MediaSource),
    Video(MediaSource),
    Document {
        source: MediaSource,
        filename: Option<String>,
    },
    Location {
        latitude: f64,
        longitude: f64,
        name: String,
        address: String,
    },
    /// What a quick reply sends back.
    Payload(String),
    CouponCode(String),
}

impl Template {
    pub(super) fn wire(&self) -> Result<Value, Invalid> {
        limits::fits("template.name", &self.name, 512)?;
        let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if !self.name.bytes().all(legal) {
            return Err(Invalid::Malformed { field: "template.name" });
        }
        limits::filled("template.language.code", &self.language)?;
        let components: Result<Vec<_>, _> = self.components.iter().map(Component::wire).collect();
        let mut wire = json!({ "name": self.name, "language": { "code": self.language } });
        put(&mut wire, "components", Some(components?).filter(|all| !all.is_empty()));
        Ok(wire)
    }
}

impl Component {
    fn wire(&self) -> Result<Value, Invalid> {
        Ok(match self {
            Self::Header(all) => json!({ "type": "header", "parameters": parameters(all)? }),
            Self::Body(all) => json!({ "type": "body", "parameters": parameters(all)? }),
            Self::Button { kind, index, parameters: all } => json!({
                "type": "button",
                "sub_type": kind.wire(),
                "index": index.to_string(),
                "parameters": parameters(all)?,
            }),
        })
    }
}

impl ButtonKind {
    fn wire(self) -> &'static str {
        match self {
            Self::QuickReply => "quick_reply",
            Self::Url => "url",
            Self::CopyCode => "copy_code",
            Self::Flow => "flow",
        }
    }
}

fn parameters(all: &[Parameter]) -> Result<Vec<Value>, Invalid> {
    all.iter().map(Parameter::wire).collect()
}

impl Parameter {
    fn wire(&self) -> Result<Value, Invalid> {
        Ok(match self {
            Self::Text { text, name } => {
                limits::filled("template.components.parameters.text", text)?;
                let mut wire = json!({ "type": "text", "text": text });
                put(&mut wire, "parameter_name", name.as_deref());
                wire
            }
            Self::Currency { fallback, code, amount_1000 } => json!({
                "type": "currency",
                "currency": { "fallback_value": fallback, "code": code, "amount_1000": amount_1000 },
            }),
            Self::DateTime { fallback } => {
                json!({ "type": "date_time", "date_time": { "fallback_value": fallback } })
            }
            Self::Image(source) => json!({ "type": "image", "image": source.wire()? }),
            Self::Video(source) => json!({ "type": "video", "video": source.wire()? }),
            Self::Document { source, filename } => {
                let mut document = source.wire()?;
                put(&mut document, "filename", filename.as_deref());
                json!({ "type": "document", "document": document })
            }
            Self::Location { latitude, longitude, name, address } => json!({
                "type": "location",
                "location": {
                    "latitude": latitude, "longitude": longitude, "name": name, "address": address,
                },
            }),
            Self::Payload(payload) => json!({ "type": "payload", "payload": payload }),
            Self::CouponCode(code) => json!({ "type": "coupon_code", "coupon_code": code }),
        })
    }
}
