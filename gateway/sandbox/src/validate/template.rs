//! The shape of a template message; whether it fits its template is `templates`' to say.

use crate::errors::Check;

use super::{MediaRef, Part, file, location};

/// What was filled in at one place of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// `text`, `currency`, `date_time`, `image`, `video`, `document`, `location`, `payload` …
    pub(crate) format: &'static str,
    pub(crate) name: Option<String>,
}

/// Index, sub-type and parameters of a button that was filled in.
pub(crate) type Button = (usize, String, Vec<Given>);

/// A template message, reduced to what its template must agree with.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) header: Vec<Given>,
    pub(crate) body: Vec<Given>,
    pub(crate) buttons: Vec<Button>,
}

const FORMATS: [&str; 9] = [
    "text",
    "currency",
    "date_time",
    "image",
    "video",
    "document",
    "location",
    "payload",
    "coupon_code",
];

pub(crate) fn check(part: &Part<'_>, media: &mut Vec<MediaRef>) -> Check<Sent> {
    part.only(&["name", "language", "components", "namespace"])?;
    part.maybe_text("namespace", 200)?;
    let language = part.part("language")?;
    language.only(&["code", "policy"])?;
    language.maybe_one_of("policy", &["deterministic"])?;
    let mut sent = Sent {
        name: part.text("name", 512)?.to_owned(),
        language: language.text("code", 20)?.to_owned(),
        ..Sent::default()
    };
    if part.has("components") {
        for component in part.parts("components", 0, 14)? {
            place(&component, &mut sent, media)?;
        }
    }
    Ok(sent)
}

fn place(component: &Part<'_>, sent: &mut Sent, media: &mut Vec<MediaRef>) -> Check {
    match component.one_of("type", &["header", "body", "button"])? {
        "button" => {
            component.only(&["type", "sub_type", "index", "parameters"])?;
            let sub_type = component
                .one_of("sub_type", &["quick_reply", "url", "copy_code", "flow"])?
                .to_owned();
            let index = index(component)?;
            sent.buttons.push((index, sub_type, parameters(component, media)?));
        }
        "header" => {
            component.only(&["type", "parameters"])?;
            sent.header = parameters(component, media)?;
        }
        _ => {
            component.only(&["type", "parameters"])?;
            sent.body = parameters(component, media)?;
        }
    }
    Ok(())
}

/// A string in the documentation; a number is taken as well.
fn index(component: &Part<'_>) -> Check<usize> {
    let value = component.required("index")?;
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number.and_then(|number| usize::try_from(number).ok()) {
        Some(number) if number < 10 => Ok(number),
        _ => Err(component.wrong("index", "must be between 0 and 9.")),
    }
}

fn parameters(component: &Part<'_>, media: &mut Vec<MediaRef>) -> Check<Vec<Given>> {
    component.parts("parameters", 0, 100)?.iter().map(|part| parameter(part, media)).collect()
}

fn parameter(part: &Part<'_>, media: &mut Vec<MediaRef>) -> Check<Given> {
    let asked = part.one_of("type", &FORMATS)?;
    let format = *FORMATS.iter().find(|format| **format == asked).unwrap_or(&"text");
    part.only(&["type", "parameter_name", format])?;
    let name = part.maybe_text("parameter_name", 100)?.map(str::to_owned);
    match format {
        "text" => part.text("text", 32_768).map(drop)?,
        "payload" => part.text("payload", 256).map(drop)?,
        "coupon_code" => part.text("coupon_code", 15).map(drop)?,
        "currency" => {
            let inner = part.part("currency")?;
            inner.only(&["fallback_value", "code", "amount_1000"])?;
            inner.text("fallback_value", 1000)?;
            inner.text("code", 3)?;
            inner.number("amount_1000", -1e15, 1e15)?;
        }
        "date_time" => {
            let inner = part.part("date_time")?;
            inner.only(&["fallback_value"])?;
            inner.text("fallback_value", 1000)?;
        }
        "location" => location(&part.part("location")?)?,
        kind => {
            let inner = part.part(kind)?;
            inner.only(if kind == "document" {
                &["id", "link", "filename"]
            } else {
                &["id", "link"]
            })?;
            file(&inner, format, media)?;
        }
    }
    Ok(Given { format, name })
}
