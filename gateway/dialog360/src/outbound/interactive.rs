//! Decides the form of messages with buttons, lists and links.

use serde_json::{Value, json};

use super::limits::{self, Invalid};
use super::{MediaSource, put};

/// The provider's documents say 4096 for lists, its schema 1024: the lower is always taken.
const BODY_CHARS: usize = 1024;

/// A message that can be tapped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interactive {
    Buttons {
        header: Option<Header>,
        body: String,
        footer: Option<String>,
        buttons: Vec<ReplyButton>,
    },
    List {
        header: Option<String>,
        body: String,
        footer: Option<String>,
        /// What opens the list.
        button: String,
        sections: Vec<Section>,
    },
    CtaUrl {
        header: Option<Header>,
        body: String,
        footer: Option<String>,
        display_text: String,
        url: String,
    },
    LocationRequest {
        body: String,
    },
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Header {
    Text(String),
    Image(MediaSource),
    Video(MediaSource),
    Document(MediaSource),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplyButton {
    pub id: String,
    pub title: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// Needed when there is more than one section.
    pub title: Option<String>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    pub id: String,
    pub title: String,
    pub description: Option<String>,
}

impl Header {
    fn wire(&self) -> Result<Value, Invalid> {
        Ok(match self {
            Self::Text(text) => text_header(text)?,
            Self::Image(source) => json!({ "type": "image", "image": source.wire()? }),
            Self::Video(source) => json!({ "type": "video", "video": source.wire()? }),
            Self::Document(source) => json!({ "type": "document", "document": source.wire()? }),
        })
    }
}

fn text_header(text: &str) -> Result<Value, Invalid> {
    limits::fits("interactive.header.text", text, 60)?;
    Ok(json!({ "type": "text", "text": text }))
}

impl Interactive {
    pub(super) fn wire(&self) -> Result<Value, Invalid> {
        match self {
            Self::Buttons { header, body, footer, buttons } => {
                let header = header.as_ref().map(Header::wire).transpose()?;
                frame("button", header, body, footer.as_deref(), &button_action(buttons)?)
            }
            Self::List { header, body, footer, button, sections } => {
                let header = header.as_deref().map(text_header).transpose()?;
                frame("list", header, body, footer.as_deref(), &list_action(button, sections)?)
            }
            Self::CtaUrl { header, body, footer, display_text, url } => {
                let header = header.as_ref().map(Header::wire).transpose()?;
                limits::filled("interactive.action.parameters.display_text", display_text)?;
                limits::link("interactive.action.parameters.url", url)?;
                let parameters = json!({ "display_text": display_text, "url": url });
                let action = json!({ "name": "cta_url", "parameters": parameters });
                frame("cta_url", header, body, footer.as_deref(), &action)
            }
            Self::LocationRequest { body } => {
                let action = json!({ "name": "send_location" });
                frame("location_request_message", None, body, None, &action)
            }
        }
    }
}

fn frame(
    kind: &'static str,
    header: Option<Value>,
    body: &str,
    footer: Option<&str>,
    action: &Value,
) -> Result<Value, Invalid> {
    limits::fits("interactive.body.text", body, BODY_CHARS)?;
    limits::fits_if_any("interactive.footer.text", footer, 60)?;
    let mut wire = json!({ "type": kind, "body": { "text": body }, "action": action });
    put(&mut wire, "header", header);
    put(&mut wire, "footer", footer.map(|text| json!({ "text": text })));
    Ok(wire)
}

fn button_action(buttons: &[ReplyButton]) -> Result<Value, Invalid> {
    limits::count("interactive.action.buttons", buttons.len(), 3)?;
    for button in buttons {
        limits::fits("interactive.action.buttons.reply.id", &button.id, 256)?;
        limits::fits("interactive.action.buttons.reply.title", &button.title, 20)?;
    }
    limits::unique("interactive.action.buttons.reply.id", buttons.iter().map(|b| b.id.as_str()))?;
    limits::unique(
        "interactive.action.buttons.reply.title",
        buttons.iter().map(|b| b.title.as_str()),
    )?;
    let reply = |button: &ReplyButton| json!({ "type": "reply", "reply": { "id": button.id, "title": button.title } });
    Ok(json!({ "buttons": buttons.iter().map(reply).collect::<Vec<_>>() }))
}

fn list_action(button: &str, sections: &[Section]) -> Result<Value, Invalid> {
    limits::fits("interactive.action.button", button, 20)?;
    limits::count("interactive.action.sections", sections.len(), 10)?;
    let rows = || sections.iter().flat_map(|section| &section.rows);
    limits::count("interactive.action.sections.rows", rows().count(), 10)?;
    limits::unique("interactive.action.sections.rows.id", rows().map(|row| row.id.as_str()))?;
    let several = sections.len() > 1;
    let sections: Result<Vec<_>, _> =
        sections.iter().map(|section| section_wire(section, several)).collect();
    Ok(json!({ "button": button, "sections": sections? }))
}

fn section_wire(section: &Section, title_needed: bool) -> Result<Value, Invalid> {
    const TITLE: &str = "interactive.action.sections.title";
    if title_needed && section.title.is_none() {
        return Err(Invalid::Empty { field: TITLE });
    }
    limits::fits_if_any(TITLE, section.title.as_deref(), 24)?;
    limits::count("interactive.action.sections.rows", section.rows.len(), 10)?;
    let rows: Result<Vec<_>, _> = section.rows.iter().map(row_wire).collect();
    let mut wire = json!({ "rows": rows? });
    put(&mut wire, "title", section.title.as_deref());
    Ok(wire)
}

fn row_wire(row: &Row) -> Result<Value, Invalid> {
    limits::fits("interactive.action.sections.rows.id", &row.id, 200)?;
    limits::fits("interactive.action.sections.rows.title", &row.title, 24)?;
    let description = row.description.as_deref();
    limits::fits_if_any("interactive.action.sections.rows.description", description, 72)?;
    let mut wire = json!({ "id": row.id, "title": row.title });
    put(&mut wire, "description", description);
    Ok(wire)
}
