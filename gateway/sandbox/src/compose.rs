//! Turns what a pretend phone does into the message a webhook carries.

use serde_json::{Map, Value, json};

use crate::faults::{Aim, Fault};
use crate::files;
use crate::media::Attachment;
use crate::phones::{Entry, Status};
use crate::receipts::{metadata, stamp};
use crate::world::World;

/// Kinds that open the service window. Whatever is unsure does not: the strict reading.
const OPENING: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "order",
    "button",
    "interactive",
];

/// One message, ready to be put into a webhook.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) number: usize,
    pub(crate) wamid: String,
    message: Value,
    contact: Option<Value>,
}

/// Which phone writes to which number, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) number: usize,
    pub(crate) wa_id: &'a str,
    pub(crate) now_ms: u64,
}

/// The provider's `type`, and the keys that go with it.
type Content = (String, Map<String, Value>);

/// A message that cannot be made, and why.
pub(crate) type Wrong = String;

/// What the phone sends: `type` with its keys, and who it comes from. Pure but for the world's state.
pub(crate) fn compose(
    world: &mut World,
    from: Origin<'_>,
    spec: &Value,
    attachment: Option<Attachment>,
) -> Result<Composed, Wrong> {
    let Origin { number, wa_id, now_ms } = from;
    let asked = text(spec, "type").unwrap_or("text").to_owned();
    let (kind, mut content) = content(&asked, spec)?;
    introduce(world, wa_id, spec)?;
    if let Some(attachment) = attachment {
        content.insert(kind.clone(), attach(world, from, spec, attachment));
    }
    let id = world.numbers[number].id.clone();
    let aim = Aim { number: &id, on: "webhook", to: Some(wa_id) };
    let ms = world.faults.strikes(Fault::MsTimestamps, aim).is_some();
    let bsuid_only = world.faults.strikes(Fault::BsuidOnly, aim).is_some();
    let at_ms = timestamp_ms(spec)?.unwrap_or(now_ms);
    let wamid = world.mint(wa_id);
    world.numbers[number].throughput.spend(now_ms);

    let own = world.numbers[number].digits();
    let phone = world.known_phone(wa_id).ok_or("the phone is gone")?;
    let hidden = bsuid_only || phone.hidden;
    content.insert("id".to_owned(), json!(wamid));
    content.insert("timestamp".to_owned(), json!(stamp(at_ms, ms)));
    content.insert("type".to_owned(), json!(kind));
    content.insert("from_user_id".to_owned(), json!(phone.user_id));
    if !hidden {
        content.insert("from".to_owned(), json!(wa_id));
    }
    if let Some(context) = context(spec, &own) {
        content.insert("context".to_owned(), context);
    }
    if let Some(referral) = spec.get("referral") {
        content.insert("referral".to_owned(), referral.clone());
    }
    let contact = contact(&asked, phone, hidden);
    let message = Value::Object(content);
    remember(world, from, &message, at_ms);
    after(world, &asked, wa_id, spec);
    Ok(Composed { number, wamid, message, contact })
}

/// The `value` of one change with these messages of one number.
pub(crate) fn value(world: &World, number: usize, messages: &[Composed]) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(world, number),
        "messages": messages.iter().map(|one| &one.message).collect::<Vec<_>>(),
    });
    let mut contacts: Vec<&Value> = Vec::new();
    for contact in messages.iter().filter_map(|one| one.contact.as_ref()) {
        if !contacts.contains(&contact) {
            contacts.push(contact);
        }
    }
    // A number change comes without contacts.
    if !contacts.is_empty() {
        value["contacts"] = json!(contacts);
    }
    value
}

fn text<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    spec.get(key)?.as_str()
}

fn needed<'a>(spec: &'a Value, key: &str) -> Result<&'a Value, Wrong> {
    spec.get(key).ok_or_else(|| format!("{key} is needed for this type"))
}

/// Seconds since 1970, as a number or a string.
fn timestamp_ms(spec: &Value) -> Result<Option<u64>, Wrong> {
    let Some(value) = spec.get("timestamp") else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    seconds.map(|seconds| Some(seconds * 1000)).ok_or("timestamp must be in seconds".to_owned())
}

/// What the phone says about its owner from now on.
fn introduce(world: &mut World, wa_id: &str, spec: &Value) -> Result<(), Wrong> {
    let phone = world.phone(wa_id).ok_or("there are as many phones as there can be")?;
    if let Some(name) = spec.get("name") {
        // A location has a name of its own.
        if text(spec, "type") != Some("location") {
            phone.name = name.as_str().map(str::to_owned);
        }
    }
    if let Some(profile) = spec.get("profile") {
        phone.name = text(profile, "name").map(str::to_owned);
        phone.username = text(profile, "username").map(str::to_owned);
    }
    if let Some(username) = text(spec, "username") {
        phone.username = Some(username.to_owned());
    }
    if let Some(hidden) = spec.get("hide_phone") {
        phone.hidden = hidden == true;
    }
    if let Some(user_id) = text(spec, "user_id") {
        let user_id = user_id.to_owned();
        world.rename_user(wa_id, &user_id);
    }
    Ok(())
}

fn contact(asked: &str, phone: &crate::phones::Phone, hidden: bool) -> Option<Value> {
    if asked == "number_change" {
        return None;
    }
    let mut profile = Map::new();
    if let Some(name) = &phone.name {
        profile.insert("name".to_owned(), json!(name));
    }
    if let Some(username) = &phone.username {
        profile.insert("username".to_owned(), json!(username));
    }
    let mut contact = json!({"profile": profile, "user_id": phone.user_id});
    if !hidden {
        contact["wa_id"] = json!(phone.wa_id);
    }
    Some(contact)
}

fn context(spec: &Value, own: &str) -> Option<Value> {
    if let Some(context) = spec.get("context") {
        return Some(context.clone());
    }
    let mut context = Map::new();
    if let Some(quoted) = text(spec, "reply_to") {
        context.insert("from".to_owned(), json!(own));
        context.insert("id".to_owned(), json!(quoted));
    }
    if spec.get("forwarded") == Some(&json!(true)) {
        context.insert("forwarded".to_owned(), json!(true));
    }
    if context.is_empty() { None } else { Some(Value::Object(context)) }
}

/// The provider's `type` and the object named after it.
fn content(asked: &str, spec: &Value) -> Result<Content, Wrong> {
    let (kind, inner) = match asked {
        "text" => ("text", json!({"body": needed(spec, "text")?})),
        "image" | "video" | "audio" | "document" | "sticker" => (asked, json!({})),
        "location" => {
            needed(spec, "latitude")?;
            needed(spec, "longitude")?;
            ("location", pick(spec, &["latitude", "longitude", "name", "address", "url"]))
        }
        "contacts" => ("contacts", needed(spec, "contacts")?.clone()),
        "order" => ("order", order(spec)?),
        "reaction" => ("reaction", reaction(spec)?),
        "button" => {
            let text = needed(spec, "text")?;
            ("button", json!({"text": text, "payload": spec.get("payload").unwrap_or(text)}))
        }
        "button_reply" => ("interactive", reply(asked, spec, &["id", "title"])?),
        "list_reply" => ("interactive", reply(asked, spec, &["id", "title", "description"])?),
        "flow_reply" => ("interactive", flow_reply(spec)?),
        "interactive" => ("interactive", needed(spec, "interactive")?.clone()),
        "edit" => ("edit", edit(spec)?),
        "revoke" => ("revoke", json!({"original_message_id": needed(spec, "message_id")?})),
        "number_change" | "user_id_change" | "identity_change" | "system" => {
            ("system", system(asked, spec)?)
        }
        "unsupported" => return Ok((asked.to_owned(), unsupported(spec))),
        "request_welcome" => return Ok((asked.to_owned(), Map::new())),
        other => (other, needed(spec, other)?.clone()),
    };
    let mut map = Map::new();
    map.insert(kind.to_owned(), inner);
    Ok((kind.to_owned(), map))
}

fn pick(spec: &Value, keys: &[&str]) -> Value {
    let picked = keys.iter().filter_map(|key| Some(((*key).to_owned(), spec.get(*key)?.clone())));
    Value::Object(picked.collect())
}

fn reaction(spec: &Value) -> Result<Value, Wrong> {
    let mut reaction = json!({"message_id": needed(spec, "message_id")?});
    // Without `emoji` the key stays away: the other way a removal is told.
    if let Some(emoji) = spec.get("emoji").filter(|emoji| !emoji.is_null()) {
        reaction["emoji"] = emoji.clone();
    }
    Ok(reaction)
}

fn order(spec: &Value) -> Result<Value, Wrong> {
    Ok(json!({
        "catalog_id": text(spec, "catalog_id").unwrap_or("194836987003835"),
        "text": text(spec, "text").unwrap_or_default(),
        "product_items": needed(spec, "product_items")?,
    }))
}

fn reply(asked: &str, spec: &Value, keys: &[&str]) -> Result<Value, Wrong> {
    needed(spec, "id")?;
    needed(spec, "title")?;
    Ok(json!({"type": asked, asked: pick(spec, keys)}))
}

fn flow_reply(spec: &Value) -> Result<Value, Wrong> {
    let answer = match needed(spec, "response_json")? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let name = text(spec, "flow_name").unwrap_or("flow");
    let body = text(spec, "body").unwrap_or("Sent");
    Ok(json!({"type": "nfm_reply",
        "nfm_reply": {"name": name, "body": body, "response_json": answer}}))
}

fn edit(spec: &Value) -> Result<Value, Wrong> {
    let original = needed(spec, "message_id")?;
    let message = match spec.get("message") {
        Some(message) => message.clone(),
        None => json!({"type": "text", "text": {"body": needed(spec, "text")?}}),
    };
    Ok(json!({"original_message_id": original, "message": message}))
}

fn system(asked: &str, spec: &Value) -> Result<Value, Wrong> {
    Ok(match asked {
        "number_change" => {
            let new = needed(spec, "new_wa_id")?;
            json!({"body": "User changed their phone number", "wa_id": new,
                "type": "user_changed_number"})
        }
        "user_id_change" => {
            let new = needed(spec, "new_user_id")?;
            json!({"body": "User id changed", "type": "user_changed_user_id", "user_id": new})
        }
        "identity_change" => {
            json!({"body": "User identity changed", "type": "customer_identity_changed"})
        }
        _ => needed(spec, "system")?.clone(),
    })
}

fn unsupported(spec: &Value) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(inner) = text(spec, "unsupported_type") {
        map.insert("unsupported".to_owned(), json!({"type": inner}));
    }
    map.insert(
        "errors".to_owned(),
        json!([{"code": 131_051, "title": "Message type unknown", "message": "Message type unknown",
            "error_data": {"details": "Message type is currently not supported."}}]),
    );
    map
}

fn attach(world: &mut World, from: Origin<'_>, spec: &Value, attachment: Attachment) -> Value {
    let mime = attachment.mime.clone();
    let sha256 = attachment.sha_base64();
    let id = world.media.add(from.number, attachment, true, from.now_ms);
    let expires_s = from.now_ms / 1000 + world.media.url_ttl_s;
    let url = files::webhook_url(&world.media.query(&id, true, expires_s));
    let mut inner = pick(spec, &["caption", "filename", "voice", "animated"]);
    inner["mime_type"] = json!(mime);
    inner["sha256"] = json!(sha256);
    inner["id"] = json!(id);
    inner["url"] = json!(url);
    inner
}

/// The phone shows what it sent, and the window opens if this kind opens it.
fn remember(world: &mut World, from: Origin<'_>, message: &Value, at_ms: u64) {
    let Origin { number, wa_id, now_ms } = from;
    let changed = world.next_change();
    world.stats.phone_messages += 1;
    let kind = message["type"].as_str().unwrap_or_default().to_owned();
    let wamid = message["id"].as_str().unwrap_or_default().to_owned();
    let id = world.numbers[number].id.clone();
    let fields = json!({"number": id, "from": wa_id, "wamid": wamid, "type": kind});
    world.ledger.write(now_ms, "phone", fields);
    let Some(phone) = world.known_phone(wa_id) else { return };
    let thread = phone.thread(number);
    if OPENING.contains(&kind.as_str()) {
        thread.open_window(at_ms);
    }
    thread.push(Entry {
        changed,
        wamid,
        from_phone: true,
        kind,
        body: message.clone(),
        at_ms,
        status: Status::Accepted,
        error: None,
        callback_data: None,
        category: String::new(),
        by_user_id: false,
        read_by_business: false,
    });
    phone.changed.notify_waiters();
}

/// What a change of identity does to the phone itself, once it has been told under the old one.
fn after(world: &mut World, asked: &str, wa_id: &str, spec: &Value) {
    match (asked, text(spec, "new_wa_id"), text(spec, "new_user_id")) {
        ("number_change", Some(new), _) => world.move_phone(wa_id, new),
        ("user_id_change", _, Some(new)) => world.rename_user(wa_id, new),
        _ => {}
    }
}
