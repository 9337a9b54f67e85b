//! The message templates of an account: which there are, which may be sent, and what each wants filled in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::errors::{Check, Invalid};
use crate::validate::{Given, Part, Sent};

/// Templates per account, as at the provider.
const LIMIT: usize = 250;

/// By account; each account starts with the built-in ones.
#[derive(Debug, Default)]
pub(crate) struct Templates(BTreeMap<String, Vec<Value>>);

/// The page asked for by `GET /v1/configs/templates`.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    pub(crate) sort: Option<String>,
    pub(crate) filters: Value,
}

impl Templates {
    fn of(&mut self, waba: &str) -> &mut Vec<Value> {
        self.0.entry(waba.to_owned()).or_insert_with(built_in)
    }

    pub(crate) fn page(&mut self, waba: &str, page: &Page) -> Value {
        let mut all: Vec<&Value> =
            self.of(waba).iter().filter(|template| passes(template, &page.filters)).collect();
        let sort = page.sort.as_deref().unwrap_or("id");
        let key = sort.trim_start_matches('-');
        all.sort_by_key(|template| template[key].to_string());
        if sort.starts_with('-') {
            all.reverse();
        }
        let total = all.len();
        let shown: Vec<&Value> = all.into_iter().skip(page.offset).take(page.limit).collect();
        json!({"count": shown.len(), "filters": page.filters, "limit": page.limit,
            "offset": page.offset, "sort": [sort], "total": total, "waba_templates": shown})
    }

    pub(crate) fn create(&mut self, waba: &str, body: &Value) -> Check<Value> {
        let root = Part::of(body, "")?;
        root.only(&["name", "category", "language", "components", "allow_category_change"])?;
        let name = root.text("name", 512)?;
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err(root.wrong("name", "may hold a-z, 0-9 and _ only."));
        }
        let category = root.one_of("category", &["MARKETING", "UTILITY", "AUTHENTICATION"])?;
        let language = root.text("language", 20)?;
        let components = root.list("components", 1, 10)?;
        let all = self.of(waba);
        if all.iter().any(|one| one["name"] == name && one["language"] == language) {
            return Err(Invalid::new(
                100,
                "A template with this name and language exists already.",
            ));
        }
        if all.len() >= LIMIT {
            return Err(Invalid::new(100, "The account has its 250 templates."));
        }
        let template =
            template(all.len(), (name, language, category, "submitted"), &json!(components));
        all.push(template.clone());
        Ok(template)
    }

    /// Removes every language of `name`.
    pub(crate) fn delete(&mut self, waba: &str, name: &str) -> bool {
        let all = self.of(waba);
        let before = all.len();
        all.retain(|template| template["name"] != name);
        all.len() < before
    }

    /// The provider's verdict on a template, for tests; the changed one when it exists.
    pub(crate) fn judge(&mut self, waba: &str, name: &str, status: &str) -> Option<Value> {
        let found = self.of(waba).iter_mut().find(|template| template["name"] == name)?;
        found["status"] = json!(status.to_lowercase());
        Some(found.clone())
    }

    /// Whether `sent` fits an approved template; its category when it does.
    pub(crate) fn fit(&mut self, waba: &str, sent: &Sent) -> Check<String> {
        let found = self
            .of(waba)
            .iter()
            .find(|one| one["name"] == *sent.name && one["language"] == *sent.language);
        let missing = || {
            let (name, language) = (&sent.name, &sent.language);
            Invalid::new(132_001, format!("template name ({name}) does not exist in {language}"))
        };
        let template = found.ok_or_else(missing)?;
        match template["status"].as_str() {
            Some("approved") => {}
            Some("paused") => return Err(Invalid::new(132_015, "The template is paused.")),
            Some("disabled") => return Err(Invalid::new(132_016, "The template is disabled.")),
            _ => return Err(missing()),
        }
        header(component(template, "HEADER"), &sent.header)?;
        texts("body", component(template, "BODY"), &sent.body)?;
        buttons(component(template, "BUTTONS"), sent)?;
        Ok(template["category"].as_str().unwrap_or("UTILITY").to_lowercase())
    }
}

fn passes(template: &Value, filters: &Value) -> bool {
    let Some(filters) = filters.as_object() else { return true };
    let same = |a: &Value, b: &Value| match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => a == b,
    };
    filters.iter().all(|(key, wanted)| same(&template[key], wanted))
}

fn component<'a>(template: &'a Value, kind: &str) -> Option<&'a Value> {
    template["components"].as_array()?.iter().find(|component| component["type"] == kind)
}

fn header(component: Option<&Value>, given: &[Given]) -> Check {
    let format = component.and_then(|one| one["format"].as_str()).unwrap_or("TEXT");
    if format == "TEXT" {
        return texts("header", component, given);
    }
    let received = given.first().map_or("UNKNOWN".to_owned(), |one| one.format.to_uppercase());
    if given.len() != 1 || received != format {
        let details = format!("header: Format mismatch, expected {format}, received {received}");
        return Err(Invalid::new(132_012, details));
    }
    Ok(())
}

fn texts(place: &str, component: Option<&Value>, given: &[Given]) -> Check {
    let expected = variables(component.and_then(|one| one["text"].as_str()).unwrap_or_default());
    if given.len() != expected.len() {
        let details = format!(
            "{place}: number of localizable_params ({}) does not match the expected number of params ({})",
            given.len(),
            expected.len()
        );
        return Err(Invalid::new(132_000, details));
    }
    for (position, one) in given.iter().enumerate() {
        if !matches!(one.format, "text" | "currency" | "date_time") {
            return Err(Invalid::new(
                132_012,
                format!("{place}: unexpected {} parameter", one.format),
            ));
        }
        let named = expected.iter().any(|name| name.parse::<u32>().is_err());
        let fits = match &one.name {
            Some(name) => named && expected.contains(name),
            None => !named,
        };
        if !fits {
            return Err(Invalid::new(
                132_012,
                format!("{place}: parameter {position} has a wrong name"),
            ));
        }
    }
    Ok(())
}

fn buttons(component: Option<&Value>, sent: &Sent) -> Check {
    let none = Vec::new();
    let buttons = component.and_then(|one| one["buttons"].as_array()).unwrap_or(&none);
    for (index, sub_type, given) in &sent.buttons {
        let kind = buttons.get(*index).and_then(|button| button["type"].as_str());
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(sub_type)) {
            return Err(Invalid::new(
                132_012,
                format!("Button at index {index} is not a {sub_type}"),
            ));
        }
        if given.len() != 1 {
            return Err(Invalid::new(
                131_008,
                format!("Button at index {index} takes one parameter"),
            ));
        }
    }
    for (index, button) in buttons.iter().enumerate() {
        let open = variables(button["url"].as_str().unwrap_or_default());
        if !open.is_empty() && !sent.buttons.iter().any(|(at, ..)| *at == index) {
            let details = format!("Button at index {index} of type Url requires a parameter");
            return Err(Invalid::new(131_008, details));
        }
    }
    Ok(())
}

/// What stands between `{{` and `}}`, each once.
fn variables(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for piece in text.split("{{").skip(1) {
        let Some((name, _)) = piece.split_once("}}") else { continue };
        let name = name.trim().to_owned();
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn template(index: usize, about: (&str, &str, &str, &str), components: &Value) -> Value {
    let (name, language, category, status) = about;
    json!({"id": format!("{}", 594_425_479_261_500_u64 + u64::try_from(index).unwrap_or(0)),
        "name": name, "namespace": "c8ae5f90_307a_ca4c_b8f6_d1e2f3a4b5c6", "language": language,
        "category": category, "status": status,
        "rejected_reason": if status == "rejected" { "INVALID_FORMAT" } else { "NONE" },
        "components": components})
}

fn built_in() -> Vec<Value> {
    let body = |text: &str| json!([{"type": "BODY", "text": text}]);
    let all = [
        (
            ("hello_world", "en_US", "UTILITY", "approved"),
            json!([
            {"type": "HEADER", "format": "TEXT", "text": "Hello World"},
            {"type": "BODY", "text": "Welcome and congratulations!! This message shows that messages can be sent."},
            {"type": "FOOTER", "text": "WhatsApp Business Platform sample message"}]),
        ),
        (
            ("order_update", "en_US", "UTILITY", "approved"),
            json!([
            {"type": "BODY", "text": "Hello {{1}}, your order {{2}} is on its way.",
                "example": {"body_text": [["Ann", "1047"]]}},
            {"type": "FOOTER", "text": "Thank you for shopping with us"}]),
        ),
        (
            ("follow_up", "en_US", "UTILITY", "approved"),
            json!([
            {"type": "BODY", "text": "Hello {{1}}, we have an answer to your question. Reply to this message to go on."},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Go on"}, {"type": "QUICK_REPLY", "text": "Not needed"}]}]),
        ),
        (
            ("follow_up", "de", "UTILITY", "approved"),
            body("Hallo {{1}}, wir haben eine Antwort auf Ihre Frage. Antworten Sie einfach hier."),
        ),
        (
            ("appointment_reminder", "en_US", "UTILITY", "approved"),
            json!([
            {"type": "HEADER", "format": "TEXT", "text": "Your appointment, {{1}}"},
            {"type": "BODY", "text": "We expect you on {{1}} at {{2}} in {{3}}, see you then."},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Confirm"}, {"type": "QUICK_REPLY", "text": "Cancel"}]}]),
        ),
        (
            ("summer_sale", "en_US", "MARKETING", "approved"),
            json!([
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://example.com/sale.jpg"]}},
            {"type": "BODY", "text": "Hi {{1}}, our summer sale is on: {{2}} off everything.",
                "example": {"body_text": [["Ann", "25%"]]}},
            {"type": "FOOTER", "text": "Reply STOP to opt out"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"},
                {"type": "URL", "text": "Shop", "url": "https://example.com/sale/{{1}}"}]}]),
        ),
        (
            ("welcome_offer", "en_US", "MARKETING", "approved"),
            json!([
            {"type": "BODY", "text": "Dear {{first_name}}, welcome! Here is {{discount}} off your first order.",
                "example": {"body_text_named_params": [
                    {"param_name": "first_name", "example": "Ann"}, {"param_name": "discount", "example": "10%"}]}}]),
        ),
        (
            ("login_code", "en_US", "AUTHENTICATION", "approved"),
            json!([
            {"type": "BODY", "text": "*{{1}}* is your verification code.", "add_security_recommendation": true},
            {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Copy code",
                "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"}]}]),
        ),
        (("new_promo", "en_US", "MARKETING", "pending"), body("Something new is coming, {{1}}!")),
        (("bad_promo", "en_US", "MARKETING", "rejected"), body("Buy buy buy now!")),
        (("old_promo", "en_US", "MARKETING", "paused"), body("Last chance, {{1}}!")),
    ];
    all.into_iter()
        .enumerate()
        .map(|(index, (about, components))| template(index, about, &components))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(format: &'static str, name: Option<&str>) -> Given {
        Given { format, name: name.map(str::to_owned) }
    }

    fn sent(name: &str, header: Vec<Given>, body: Vec<Given>) -> Sent {
        Sent {
            name: name.to_owned(),
            language: "en_US".to_owned(),
            header,
            body,
            buttons: Vec::new(),
        }
    }

    #[track_caller]
    fn code(sent: &Sent) -> i64 {
        Templates::default().fit("w", sent).map_or_else(|why| why.code, |_| 0)
    }

    #[test]
    fn a_template_must_be_there_and_approved() {
        assert_eq!(code(&sent("hello_world", vec![], vec![])), 0);
        assert_eq!(code(&sent("no_such", vec![], vec![])), 132_001);
        assert_eq!(code(&sent("new_promo", vec![], vec![given("text", None)])), 132_001);
        assert_eq!(code(&sent("old_promo", vec![], vec![given("text", None)])), 132_015);
        let mut german = sent("order_update", vec![], vec![given("text", None); 2]);
        assert_eq!(code(&german), 0);
        german.language = "de".to_owned();
        assert_eq!(code(&german), 132_001);
    }

    #[test]
    fn every_place_must_be_filled_and_rightly() {
        assert_eq!(code(&sent("order_update", vec![], vec![given("text", None)])), 132_000);
        assert_eq!(code(&sent("order_update", vec![], vec![given("text", Some("x")); 2])), 132_012);
        let named = vec![given("text", Some("first_name")), given("text", Some("discount"))];
        assert_eq!(code(&sent("welcome_offer", vec![], named)), 0);
        let two = vec![given("text", None); 2];
        let mut sale = sent("summer_sale", vec![given("image", None)], two.clone());
        assert_eq!(code(&sale), 131_008, "its link has a place to fill in");
        sale.buttons.push((1, "url".to_owned(), vec![given("text", None)]));
        assert_eq!(code(&sale), 0);
        sale.buttons.push((0, "url".to_owned(), vec![given("text", None)]));
        assert_eq!(code(&sale), 132_012);
        assert_eq!(code(&sent("summer_sale", vec![given("video", None)], two)), 132_012);
    }

    #[test]
    fn pages_and_filters() {
        let mut all = Templates::default();
        let mut page =
            Page { limit: 4, offset: 0, sort: Some("-id".to_owned()), filters: json!({}) };
        let first = all.page("w", &page);
        assert_eq!((&first["count"], &first["total"]), (&json!(4), &json!(11)));
        page.offset = 8;
        assert_eq!(all.page("w", &page)["count"], 3);
        page.offset = 0;
        page.filters = json!({"status": "APPROVED"});
        assert_eq!(all.page("w", &page)["total"], 8);
    }
}
