//! Decides the form of everything but interactive messages and templates.

use serde_json::{Value, json};

use super::limits::{self, Invalid};
use super::{Interactive, Template, put};

/// What a message carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text {
        body: String,
        preview_url: bool,
    },
    Image(Media),
    Video(Media),
    Audio(Media),
    Document(Media),
    Sticker(Media),
    Location {
        latitude: f64,
        longitude: f64,
        name: Option<String>,
        address: Option<String>,
    },
    Contacts(Vec<Card>),
    /// Without `emoji`: take the reaction back.
    Reaction {
        message_id: String,
        emoji: Option<String>,
    },
    Interactive(Interactive),
    Template(Template),
}

/// A file, uploaded before or fetched by the provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Media {
    pub source: MediaSource,
    /// Images, videos and documents only.
    pub caption: Option<String>,
    /// Documents only.
    pub filename: Option<String>,
    /// Audio only: shown as recorded in the app.
    pub voice: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MediaSource {
    Id(String),
    Link(String),
}

/// A contact card.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Card {
    pub formatted_name: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub phones: Vec<CardPhone>,
    pub emails: Vec<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CardPhone {
    pub phone: String,
    pub wa_id: Option<String>,
    /// `WORK`, `HOME`, …
    pub label: Option<String>,
}

impl Media {
    pub fn id(id: impl Into<String>) -> Self {
        Self::from_source(MediaSource::Id(id.into()))
    }

    pub fn link(url: impl Into<String>) -> Self {
        Self::from_source(MediaSource::Link(url.into()))
    }

    fn from_source(source: MediaSource) -> Self {
        Self { source, caption: None, filename: None, voice: false }
    }

    #[must_use]
    pub fn with_caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    #[must_use]
    pub fn with_filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }
}

impl MediaSource {
    pub(super) fn wire(&self) -> Result<Value, Invalid> {
        match self {
            Self::Id(id) => {
                limits::filled("media.id", id)?;
                Ok(json!({ "id": id }))
            }
            Self::Link(url) => {
                limits::link("media.link", url)?;
                Ok(json!({ "link": url }))
            }
        }
    }
}

/// What a kind of media may have beside the file.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Extras {
    Caption,
    CaptionAndFilename,
    Voice,
    None,
}

impl Content {
    /// The name of the kind, and its checked body.
    pub(super) fn wire(&self) -> Result<(&'static str, Value), Invalid> {
        Ok(match self {
            Self::Text { body, preview_url } => {
                limits::fits("text.body", body, 4096)?;
                ("text", json!({ "body": body, "preview_url": preview_url }))
            }
            Self::Image(file) => ("image", media(file, Extras::Caption)?),
            Self::Video(file) => ("video", media(file, Extras::Caption)?),
            Self::Audio(file) => ("audio", media(file, Extras::Voice)?),
            Self::Document(file) => ("document", media(file, Extras::CaptionAndFilename)?),
            Self::Sticker(file) => ("sticker", media(file, Extras::None)?),
            Self::Location { latitude, longitude, name, address } => {
                let mut body = place(*latitude, *longitude)?;
                put(&mut body, "name", name.as_deref());
                put(&mut body, "address", address.as_deref());
                ("location", body)
            }
            Self::Contacts(cards) => {
                limits::count("contacts", cards.len(), 5)?;
                let cards: Result<Vec<_>, _> = cards.iter().map(card).collect();
                ("contacts", cards?.into())
            }
            Self::Reaction { message_id, emoji } => {
                limits::filled("reaction.message_id", message_id)?;
                let emoji = emoji.as_deref().unwrap_or_default();
                ("reaction", json!({ "message_id": message_id, "emoji": emoji }))
            }
            Self::Interactive(interactive) => ("interactive", interactive.wire()?),
            Self::Template(template) => ("template", template.wire()?),
        })
    }
}

fn media(media: &Media, extras: Extras) -> Result<Value, Invalid> {
    let mut body = media.source.wire()?;
    let captioned = matches!(extras, Extras::Caption | Extras::CaptionAndFilename);
    if media.caption.is_some() && !captioned {
        return Err(Invalid::NotAllowed { field: "caption" });
    }
    if media.filename.is_some() && extras != Extras::CaptionAndFilename {
        return Err(Invalid::NotAllowed { field: "filename" });
    }
    if media.voice && extras != Extras::Voice {
        return Err(Invalid::NotAllowed { field: "voice" });
    }
    limits::fits_if_any("caption", media.caption.as_deref(), 1024)?;
    put(&mut body, "caption", media.caption.as_deref());
    put(&mut body, "filename", media.filename.as_deref());
    put(&mut body, "voice", media.voice.then_some(true));
    Ok(body)
}

fn place(latitude: f64, longitude: f64) -> Result<Value, Invalid> {
    if !(-90.0..=90.0).contains(&latitude) {
        return Err(Invalid::Malformed { field: "location.latitude" });
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return Err(Invalid::Malformed { field: "location.longitude" });
    }
    Ok(json!({ "latitude": latitude, "longitude": longitude }))
}

fn card(card: &Card) -> Result<Value, Invalid> {
    limits::filled("contacts.name.formatted_name", &card.formatted_name)?;
    let mut name = json!({ "formatted_name": card.formatted_name });
    // The provider wants one more part of the name beside the formatted one.
    let first = card
        .first_name
        .as_ref()
        .or_else(|| card.last_name.is_none().then_some(&card.formatted_name));
    put(&mut name, "first_name", first.map(String::as_str));
    put(&mut name, "last_name", card.last_name.as_deref());
    let phone = |phone: &CardPhone| {
        let mut body = json!({ "phone": phone.phone });
        put(&mut body, "wa_id", phone.wa_id.as_deref());
        put(&mut body, "type", phone.label.as_deref());
        body
    };
    let phones: Vec<_> = card.phones.iter().map(phone).collect();
    let emails: Vec<_> = card.emails.iter().map(|email| json!({ "email": email })).collect();
    let mut body = json!({ "name": name });
    put(&mut body, "phones", (!phones.is_empty()).then_some(phones));
    put(&mut body, "emails", (!emails.is_empty()).then_some(emails));
    put(&mut body, "org", card.company.as_ref().map(|company| json!({ "company": company })));
    Ok(body)
}
