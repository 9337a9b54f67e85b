//! Decides what a webhook body says: every array at every level is walked, and what cannot be read
//! becomes an update of its own that keeps its text.

mod content;
mod model;
mod notice;
mod owned;
mod receipt;
mod sender;

use std::borrow::Cow;

use thiserror::Error;

use crate::json::{self, Fault, Node};
use crate::phone;
use sender::{Contacts, digits};

pub use crate::errors::ProviderError;
pub use model::{
    AccountAlert, AccountUpdate, Address, ContactCard, ContactPhone, Content, Context,
    Conversation, Echo, IgnoredReason, Labelled, Location, Media, MediaKind, Message, Order,
    OrderItem, PhoneName, PhoneQuality, Preference, PreferenceValue, Pricing, Receipt,
    ReceiptStatus, Referral, ReferredProduct, Restriction, Sender, TemplateCategory,
    TemplateQuality, TemplateRef, TemplateStatus, Update, UpdateBody, UserIdChange,
};

/// Why a body says nothing at all.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unreadable {
    #[error("not JSON at byte {at}")]
    NotJson { at: usize },
    #[error("JSON, but not an object")]
    NotAnObject,
    #[error("nested too deep")]
    TooDeep,
    #[error("more values than a webhook can hold")]
    TooLarge,
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax { at } => Self::NotJson { at },
            Fault::TooDeep => Self::TooDeep,
            Fault::TooMany => Self::TooLarge,
        }
    }
}

/// Reads the body of a webhook.
///
/// The updates are in the order of the body; the same message may be among them twice. Invalid
/// UTF-8 is replaced, not refused.
pub fn parse(body: &[u8]) -> Result<Vec<Update<'_>>, Unreadable> {
    read(body, Bare::Ignored)
}

/// Like [`parse`], and also takes the older form that a sandbox may send: `messages` and `contacts`
/// without an envelope.
pub fn parse_sandbox(body: &[u8]) -> Result<Vec<Update<'_>>, Unreadable> {
    read(body, Bare::Accepted)
}

/// What to do with a body that has no envelope.
#[derive(Clone, Copy)]
enum Bare {
    Accepted,
    Ignored,
}

fn read(body: &[u8], bare: Bare) -> Result<Vec<Update<'_>>, Unreadable> {
    if let Ok(text) = str::from_utf8(body) {
        return read_text(text, bare);
    }
    let text = String::from_utf8_lossy(body);
    let updates = read_text(&text, bare)?;
    Ok(updates.into_iter().map(Update::into_owned).collect())
}

fn read_text(text: &str, bare: Bare) -> Result<Vec<Update<'_>>, Unreadable> {
    let root = json::read(text.trim_start_matches('\u{feff}'))?;
    if !root.is_object() {
        return Err(Unreadable::NotAnObject);
    }
    let mut updates = Vec::new();
    match (root.get("entry"), bare) {
        (Node::Null, Bare::Accepted) => Change::new(&NO_ENTRY, None, &root).read(&mut updates),
        (Node::Null, Bare::Ignored) => {
            let change = Change::new(&NO_ENTRY, None, &root);
            updates.push(change.ignored(IgnoredReason::Empty, &root));
        }
        (entries, _) => {
            for entry in entries.items() {
                read_entry(entry, &mut updates);
            }
        }
    }
    Ok(updates)
}

static NO_ENTRY: Node<'static> = Node::Null;

fn read_entry<'a>(entry: &Node<'a>, updates: &mut Vec<Update<'a>>) {
    let changes = entry.get("changes");
    if changes.is_null() {
        updates.push(Change::new(entry, None, &NO_ENTRY).ignored(IgnoredReason::Empty, entry));
    }
    for change in changes.items() {
        let field = change.get("field").slice();
        let value = change.get("value");
        if value.items().is_empty() {
            let empty = Change::new(entry, field.clone(), value);
            updates.push(empty.ignored(IgnoredReason::Empty, change));
        }
        for value in value.items() {
            Change::new(entry, field.clone(), value).read(updates);
        }
    }
}

/// One `value` with what is around it.
struct Change<'v, 'a> {
    value: &'v Node<'a>,
    field: Option<Cow<'a, str>>,
    waba_id: Option<Cow<'a, str>>,
    phone_number_id: Option<Cow<'a, str>>,
    display_phone_number: Option<Cow<'a, str>>,
    entry_time_ms: Option<u64>,
}

impl<'v, 'a> Change<'v, 'a> {
    fn new(entry: &Node<'a>, field: Option<Cow<'a, str>>, value: &'v Node<'a>) -> Self {
        let metadata = value.get("metadata");
        let display =
            [metadata, value].into_iter().find_map(|node| node.get("display_phone_number").slice());
        Self {
            value,
            field,
            waba_id: entry.get("id").slice(),
            phone_number_id: metadata.get("phone_number_id").slice(),
            display_phone_number: display.map(|text| digits(text.clone()).unwrap_or(text)),
            entry_time_ms: millis(entry.get("time")),
        }
    }

    fn update(&self, body: UpdateBody<'a>, source: &Node<'a>) -> Update<'a> {
        Update {
            waba_id: self.waba_id.clone(),
            phone_number_id: self.phone_number_id.clone(),
            display_phone_number: self.display_phone_number.clone(),
            field: self.field.clone().unwrap_or_default(),
            entry_time_ms: self.entry_time_ms,
            body,
            raw: source.raw(),
        }
    }

    fn ignored(&self, reason: IgnoredReason, source: &Node<'a>) -> Update<'a> {
        self.update(UpdateBody::Ignored { reason }, source)
    }

    fn read(&self, updates: &mut Vec<Update<'a>>) {
        if !self.value.is_object() {
            return updates.push(self.ignored(IgnoredReason::Unreadable, self.value));
        }
        match self.field.as_deref() {
            Some("messages") => self.traffic(updates),
            Some("smb_message_echoes") => {
                self.each("message_echoes", updates, |contacts, node| self.echo(contacts, node));
            }
            Some("user_preferences") => self.each("user_preferences", updates, notice::preference),
            Some("user_id_update") => {
                self.each("user_id_update", updates, |_, node| notice::user_id_change(node));
            }
            Some(field) => {
                let body = notice::body(field, self.value)
                    .unwrap_or(UpdateBody::Ignored { reason: IgnoredReason::UnknownField });
                updates.push(self.update(body, self.value));
            }
            // Call events also have `statuses`, so the keys decide only when no field is named.
            None if self.names_traffic() => self.traffic(updates),
            None => updates.push(self.ignored(IgnoredReason::Empty, self.value)),
        }
    }

    fn names_traffic(&self) -> bool {
        ["messages", "statuses", "errors"].iter().any(|key| !self.value.get(key).is_null())
    }

    fn each(
        &self,
        key: &str,
        updates: &mut Vec<Update<'a>>,
        read: impl Fn(&Contacts<'a>, &Node<'a>) -> UpdateBody<'a>,
    ) {
        let contacts = Contacts::new(self.value.get("contacts"));
        let items = self.value.get(key).items();
        if items.is_empty() {
            updates.push(self.ignored(IgnoredReason::Empty, self.value));
        }
        for item in items {
            updates.push(self.update(read(&contacts, item), item));
        }
    }

    /// Messages, receipts and errors of the field `messages`.
    fn traffic(&self, updates: &mut Vec<Update<'a>>) {
        if !self.names_traffic() {
            return updates.push(self.ignored(IgnoredReason::Empty, self.value));
        }
        let contacts = Contacts::new(self.value.get("contacts"));
        let errors = self.value.get("errors");
        let mut errors_taken = false;
        for message in self.value.get("messages").items() {
            let body = self.message(&contacts, message);
            errors_taken |= takes_errors(&body, message) && !errors.is_null();
            updates.push(self.update(body, message));
        }
        for status in self.value.get("statuses").items() {
            let body = receipt::receipt(&contacts, status);
            updates.push(self.update(body, status));
        }
        if !errors.items().is_empty() && !errors_taken {
            let body = UpdateBody::AccountError(ProviderError::list(errors));
            updates.push(self.update(body, self.value));
        }
    }

    fn message(&self, contacts: &Contacts<'a>, node: &Node<'a>) -> UpdateBody<'a> {
        if self.is_ours(contacts, node) {
            return self.echo(contacts, node);
        }
        UpdateBody::Message(Box::new(Message {
            id: node.get("id").text(),
            from: contacts.sender(node),
            group_id: node.get("group_id").text(),
            timestamp: millis(node.get("timestamp")),
            content: content::content(node, self.value.get("errors")),
            context: content::context(node.get("context")),
            referral: content::referral(node.get("referral")),
        }))
    }

    /// Whether a message says it comes from our own number.
    fn is_ours(&self, contacts: &Contacts<'a>, node: &Node<'a>) -> bool {
        let Some(from) = node.get("from").filled().and_then(phone::digits) else {
            return false;
        };
        let ours = self.phone_number_id.as_deref() == Some(&from)
            || self.display_phone_number.as_deref() == Some(&from);
        ours && !contacts.knows(&from)
    }

    fn echo(&self, contacts: &Contacts<'a>, node: &Node<'a>) -> UpdateBody<'a> {
        let to = contacts.recipient(node);
        UpdateBody::Echo(Box::new(Echo {
            id: node.get("id").text(),
            from: node.get("from").text(),
            to_wa_id: to.wa_id,
            to_user_id: to.user_id,
            group_id: node.get("group_id").text(),
            timestamp: millis(node.get("timestamp")),
            content: content::content(node, self.value.get("errors")),
            context: content::context(node.get("context")),
        }))
    }
}

/// A kind without its body explains itself by the errors beside the messages.
fn takes_errors(body: &UpdateBody<'_>, node: &Node<'_>) -> bool {
    let UpdateBody::Message(message) = body else {
        return false;
    };
    matches!(message.content, Content::Unsupported { .. }) && node.get("errors").is_null()
}

/// Unix milliseconds from seconds or milliseconds, as number or string.
fn millis(node: &Node<'_>) -> Option<u64> {
    const MILLIS_FROM: u64 = 1_000_000_000_000;
    const MILLIS_BELOW: u64 = 100_000_000_000_000;
    match node.whole().and_then(|time| u64::try_from(time).ok())? {
        0 | MILLIS_BELOW.. => None,
        millis @ MILLIS_FROM.. => Some(millis),
        seconds => Some(seconds * 1_000),
    }
}
