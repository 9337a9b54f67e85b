//! Decides what may be sent: messages are checked against the provider's limits before they leave.

mod content;
mod interactive;
mod limits;
mod template;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::phone;

pub use content::{Card, CardPhone, Content, Media, MediaSource};
pub use interactive::{Header, Interactive, ReplyButton, Row, Section};
pub use limits::Invalid;
pub use template::{ButtonKind, Component, Parameter, Template};

/// To whom a message goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recipient {
    /// A phone with its country code; punctuation is removed.
    Phone(String),
    /// A business-scoped user id.
    UserId(String),
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub to: Recipient,
    pub content: Content,
    /// The message this one quotes.
    pub reply_to: Option<String>,
    /// Comes back in every receipt of the message (`biz_opaque_callback_data`).
    pub callback_data: Option<String>,
}

/// A message within the limits, as it goes over the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prepared {
    body: Bytes,
}

impl Prepared {
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl Message {
    pub fn new(to: Recipient, content: Content) -> Self {
        Self { to, content, reply_to: None, callback_data: None }
    }

    #[must_use]
    pub fn replying_to(mut self, message_id: impl Into<String>) -> Self {
        self.reply_to = Some(message_id.into());
        self
    }

    #[must_use]
    pub fn with_callback_data(mut self, data: impl Into<String>) -> Self {
        self.callback_data = Some(data.into());
        self
    }

    /// Checks every limit and writes the message down.
    pub fn prepare(&self) -> Result<Prepared, Invalid> {
        let (kind, content) = self.content.wire()?;
        let mut body = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "type": kind,
        });
        body[kind] = content;
        match &self.to {
            Recipient::Phone(phone) => {
                let digits = phone::digits(phone).ok_or(Invalid::Malformed { field: "to" })?;
                body["to"] = digits.into();
            }
            Recipient::UserId(id) => {
                limits::filled("recipient", id)?;
                body["recipient"] = id.as_str().into();
            }
        }
        if let Some(quoted) = &self.reply_to {
            limits::filled("context.message_id", quoted)?;
            body["context"] = json!({ "message_id": quoted });
        }
        if let Some(data) = &self.callback_data {
            limits::within("biz_opaque_callback_data", data, 512)?;
            body["biz_opaque_callback_data"] = data.as_str().into();
        }
        Ok(Prepared { body: body.to_string().into() })
    }
}

/// Adds a member if there is a value for it.
fn put(object: &mut Value, key: &'static str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[key] = value.into();
    }
}
