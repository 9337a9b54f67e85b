//! Interactive messages: buttons, lists, links, location requests and flows.

use std::collections::BTreeSet;

use crate::errors::{Check, Invalid};

use super::{MediaRef, Part, file};

const TYPES: [&str; 5] = ["button", "list", "cta_url", "location_request_message", "flow"];

pub(crate) fn check(part: &Part<'_>, media: &mut Vec<MediaRef>) -> Check {
    part.only(&["type", "header", "body", "footer", "action"])?;
    let kind = part.one_of("type", &TYPES)?;
    if let Some(head) = part.maybe_part("header")? {
        header(part, &head, kind, media)?;
    }
    let body = part.part("body")?;
    body.only(&["text"])?;
    body.text("text", 1024)?;
    if let Some(footer) = part.maybe_part("footer")? {
        if kind == "location_request_message" {
            return Err(part.wrong("footer", "is not allowed on this type."));
        }
        footer.only(&["text"])?;
        footer.text("text", 60)?;
    }
    let action = part.part("action")?;
    match kind {
        "button" => buttons(&action),
        "list" => list(&action),
        "cta_url" => call_to_action(&action),
        "flow" => flow(&action),
        _ => {
            action.only(&["name"])?;
            action.one_of("name", &["send_location"]).map(drop)
        }
    }
}

fn header(message: &Part<'_>, part: &Part<'_>, kind: &str, media: &mut Vec<MediaRef>) -> Check {
    let allowed: &[&str] = match kind {
        "list" => &["text"],
        "location_request_message" => {
            return Err(message.wrong("header", "is not allowed on this type."));
        }
        _ => &["text", "image", "video", "document"],
    };
    let format = part.one_of("type", allowed)?;
    part.only(&["type", format])?;
    let (format, keys): (&'static str, &[&str]) = match format {
        "text" => return part.text("text", 60).map(drop),
        "image" => ("image", &["id", "link"]),
        "video" => ("video", &["id", "link"]),
        _ => ("document", &["id", "link", "filename"]),
    };
    let inner = part.part(format)?;
    inner.only(keys)?;
    inner.maybe_text("filename", 240)?;
    file(&inner, format, media)
}

fn buttons(action: &Part<'_>) -> Check {
    action.only(&["buttons"])?;
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    for button in action.parts("buttons", 1, 3)? {
        button.only(&["type", "reply"])?;
        button.one_of("type", &["reply"])?;
        let reply = button.part("reply")?;
        reply.only(&["id", "title"])?;
        unique(&mut ids, &reply, "id", 256)?;
        unique(&mut titles, &reply, "title", 20)?;
    }
    Ok(())
}

fn unique<'a>(seen: &mut BTreeSet<&'a str>, part: &Part<'a>, key: &str, max: usize) -> Check {
    if seen.insert(part.text(key, max)?) {
        return Ok(());
    }
    Err(part.wrong(key, "must be unique."))
}

fn list(action: &Part<'_>) -> Check {
    action.only(&["button", "sections"])?;
    action.text("button", 20)?;
    let sections = action.parts("sections", 1, 10)?;
    let mut ids = BTreeSet::new();
    let mut total = 0;
    for section in &sections {
        section.only(&["title", "rows"])?;
        section.maybe_text("title", 24)?;
        if sections.len() > 1 {
            section.text("title", 24)?;
        }
        let rows = section.parts("rows", 1, 10)?;
        total += rows.len();
        for row in &rows {
            row.only(&["id", "title", "description"])?;
            unique(&mut ids, row, "id", 200)?;
            row.text("title", 24)?;
            row.maybe_text("description", 72)?;
        }
    }
    if total > 10 {
        return Err(Invalid::new(
            100,
            format!("Total row count exceeds max allowed count: 10 ({total})."),
        ));
    }
    Ok(())
}

fn call_to_action(action: &Part<'_>) -> Check {
    action.only(&["name", "parameters"])?;
    action.one_of("name", &["cta_url"])?;
    let parameters = action.part("parameters")?;
    parameters.only(&["display_text", "url"])?;
    parameters.text("display_text", 20)?;
    parameters.link("url")
}

fn flow(action: &Part<'_>) -> Check {
    action.only(&["name", "parameters"])?;
    action.one_of("name", &["flow"])?;
    let parameters = action.part("parameters")?;
    parameters.only(&[
        "flow_message_version",
        "flow_id",
        "flow_name",
        "flow_cta",
        "flow_token",
        "flow_action",
        "flow_action_payload",
        "mode",
    ])?;
    parameters.one_of("flow_message_version", &["3"])?;
    if parameters.has("flow_id") == parameters.has("flow_name") {
        return Err(parameters.wrong("flow_id", "or flow_name is required, and only one of them."));
    }
    parameters.maybe_text("flow_id", 100)?;
    parameters.maybe_text("flow_name", 200)?;
    parameters.text("flow_cta", 30)?;
    parameters.maybe_text("flow_token", 2000)?;
    parameters.maybe_one_of("flow_action", &["navigate", "data_exchange"])?;
    parameters.maybe_one_of("mode", &["draft", "published"])?;
    if let Some(payload) = parameters.maybe_part("flow_action_payload")? {
        payload.only(&["screen", "data"])?;
        payload.text("screen", 200)?;
        payload.maybe_part("data")?;
    }
    Ok(())
}
