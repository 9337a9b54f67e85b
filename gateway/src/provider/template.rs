//! A template as somebody has filled it in, in 360dialog's words.

use dialog360::outbound::{
    self as wire, ButtonKind as WireKind, Component, MediaSource, Parameter,
};
use usher_domain::message::MediaKind;
use usher_domain::template::{Button, ButtonKind, Header, Template, Variables};

/// `file`: the provider's id of the file above its text; `None` where one is wanted and missing.
pub(super) fn worded(template: &Template, file: Option<&str>) -> Option<wire::Template> {
    let mut components = Vec::new();
    if let Some(above) = &template.header {
        components.push(Component::Header(header(above, file)?));
    }
    let body = variables(&template.body);
    if !body.is_empty() {
        components.push(Component::Body(body));
    }
    components.extend(template.buttons.iter().map(button));
    let (name, language) = (template.name.clone(), template.language.clone());
    Some(wire::Template { name, language, components })
}

fn header(header: &Header, file: Option<&str>) -> Option<Vec<Parameter>> {
    let parameter = match header {
        Header::Text(line) => return Some(variables(line)),
        Header::Location { latitude, longitude, name, address } => Parameter::Location {
            latitude: *latitude,
            longitude: *longitude,
            name: name.clone(),
            address: address.clone(),
        },
        Header::Media { sort, filename, .. } => {
            let source = MediaSource::Id(file?.to_owned());
            match sort {
                MediaKind::Image => Parameter::Image(source),
                MediaKind::Video => Parameter::Video(source),
                MediaKind::Document => Parameter::Document { source, filename: filename.clone() },
                MediaKind::Audio | MediaKind::Voice | MediaKind::Sticker => return None,
            }
        }
    };
    Some(vec![parameter])
}

fn variables(variables: &Variables) -> Vec<Parameter> {
    let text = |text: &String, name| Parameter::Text { text: text.clone(), name };
    match variables {
        Variables::Numbered(all) => all.iter().map(|value| text(value, None)).collect(),
        Variables::Named(all) => {
            all.iter().map(|(name, value)| text(value, Some(name.clone()))).collect()
        }
    }
}

fn button(button: &Button) -> Component {
    let value = button.value.clone();
    let (kind, parameter) = match button.kind {
        ButtonKind::Url => (WireKind::Url, Parameter::Text { text: value, name: None }),
        ButtonKind::Code => (WireKind::CopyCode, Parameter::CouponCode(value)),
        ButtonKind::Reply => (WireKind::QuickReply, Parameter::Payload(value)),
    };
    Component::Button { kind, index: button.index, parameters: vec![parameter] }
}

#[cfg(test)]
mod tests {
    use dialog360::outbound::{Message, Recipient};
    use serde_json::{Value, json};
    use usher_domain::ids::MediaId;

    use super::*;

    fn wired(template: &Template, file: Option<&str>) -> Option<Value> {
        let content = wire::Content::Template(worded(template, file)?);
        let message = Message::new(Recipient::Phone("16505551234".into()), content);
        let prepared = message.prepare().unwrap();
        let body: Value = serde_json::from_slice(prepared.body()).unwrap();
        Some(body["template"].clone())
    }

    fn read(template: Value) -> Template {
        serde_json::from_value(template).unwrap()
    }

    #[test]
    fn without_variables_there_is_nothing_to_fill_in() {
        let plain = wired(&Template::plain("hello", "en", &[]), None);
        assert_eq!(plain, Some(json!({"name": "hello", "language": {"code": "en"}})));
    }

    #[test]
    fn every_part_has_its_component() {
        let file = MediaId::from_number(7);
        let template = read(json!({
            "name": "sale", "language": "en", "body": {"first_name": "Ann"},
            "header": {"media": {"file": file, "sort": "document", "filename": "a.pdf"}},
            "buttons": [{"index": 0, "kind": "reply", "value": "yes"},
                {"index": 1, "kind": "url", "value": "x7"},
                {"index": 2, "kind": "code", "value": "SAVE10"}],
        }));
        let expected = json!({"name": "sale", "language": {"code": "en"}, "components": [
            {"type": "header", "parameters": [
                {"type": "document", "document": {"id": "9", "filename": "a.pdf"}}]},
            {"type": "body", "parameters": [
                {"type": "text", "text": "Ann", "parameter_name": "first_name"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0",
                "parameters": [{"type": "payload", "payload": "yes"}]},
            {"type": "button", "sub_type": "url", "index": "1",
                "parameters": [{"type": "text", "text": "x7"}]},
            {"type": "button", "sub_type": "copy_code", "index": "2",
                "parameters": [{"type": "coupon_code", "coupon_code": "SAVE10"}]},
        ]});
        assert_eq!(wired(&template, Some("9")), Some(expected));
        assert_eq!(wired(&template, None), None, "the file is missing");
    }

    #[test]
    fn a_header_may_be_a_line_or_a_place() {
        let line = read(json!({"name": "a", "language": "en", "header": {"text": ["May"]}}));
        let header = |template| wired(&template, None).unwrap()["components"][0].clone();
        let text = json!([{"type": "text", "text": "May"}]);
        assert_eq!(header(line), json!({"type": "header", "parameters": text}));
        let place = json!({"latitude": 1.5, "longitude": 2.5, "name": "Here", "address": "1 Road"});
        let there = read(json!({"name": "a", "language": "en", "header": {"location": place}}));
        let parameters = json!([{"type": "location", "location": place}]);
        assert_eq!(header(there), json!({"type": "header", "parameters": parameters}));
    }
}
