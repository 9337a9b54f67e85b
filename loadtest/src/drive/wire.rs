//! Webhooks as 360dialog posts them, signed, ready to be written to a connection.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::house::{PLATFORM_SECRET, Shop, WEBHOOK_SECRET};

/// Phones have numbers from here on.
const FIRST_PHONE: u64 = 4_915_100_000_000;

/// A visitor's phone number.
pub fn wa_id(visitor: u64) -> String {
    (FIRST_PHONE + visitor).to_string()
}

/// Which visitor has this phone number.
pub fn visitor_of(wa_id: &str) -> Option<u64> {
    wa_id.parse::<u64>().ok()?.checked_sub(FIRST_PHONE)
}

/// The user id that the provider gave a visitor.
pub fn user_id(visitor: u64) -> String {
    format!("DE.{visitor:016}")
}

/// What a visitor calls themselves.
pub fn name(visitor: u64) -> String {
    format!("Visitor {visitor}")
}

/// Seconds since 1970, as the provider stamps.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One change with a visitor's text; the visitor is known by phone and by user id.
pub fn text(channel: usize, visitor: u64, id: u64, body: &str) -> String {
    let (wa_id, at) = (wa_id(visitor), now_seconds());
    let (number, metadata) = (wamid(id), metadata(channel));
    let (user_id, name) = (user_id(visitor), name(visitor));
    format!(
        r#"{{"field":"messages","value":{{"messaging_product":"whatsapp",{metadata},"contacts":[{{"profile":{{"name":"{name}"}},"wa_id":"{wa_id}","user_id":"{user_id}"}}],"messages":[{{"from":"{wa_id}","from_user_id":"{user_id}","id":"{number}","timestamp":"{at}","type":"text","text":{{"body":"{body}"}}}}]}}}}"#
    )
}

/// How far a message of ours has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    Sent,
    Delivered,
    Read,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Sent => Some(Self::Delivered),
            Self::Delivered => Some(Self::Read),
            Self::Read => None,
        }
    }
}

/// One change with a receipt.
pub fn receipt(
    channel: usize,
    wa_id: &str,
    wamid: &str,
    callback_data: Option<&str>,
    status: Status,
) -> String {
    let (at, status, metadata) = (now_seconds(), status.name(), metadata(channel));
    let callback = callback_data
        .map(|data| format!(r#","biz_opaque_callback_data":"{data}""#))
        .unwrap_or_default();
    format!(
        r#"{{"field":"messages","value":{{"messaging_product":"whatsapp",{metadata},"statuses":[{{"id":"{wamid}","status":"{status}","timestamp":"{at}","recipient_id":"{wa_id}"{callback},"conversation":{{"id":"c0ffee00c0ffee00c0ffee00c0ffee00","origin":{{"type":"service"}}}},"pricing":{{"billable":false,"pricing_model":"PMP","category":"service","type":"free_customer_service"}}}}]}}}}"#
    )
}

fn metadata(channel: usize) -> String {
    let number = Shop::phone_number_id(channel);
    format!(
        r#""metadata":{{"display_phone_number":"1555{channel:07}","phone_number_id":"{number}"}}"#
    )
}

/// The provider's name for a visitor's message.
pub fn wamid(id: u64) -> String {
    format!("wamid.HBgLNDkxNTEwMDAwMDAVAgASGBQz{id:016X}AA==")
}

/// The whole request: changes in one body, signed.
pub fn request(channel: usize, changes: &[String]) -> Bytes {
    let source = Shop::source(channel);
    let changes = changes.join(",");
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{source}","changes":[{changes}]}}]}}"#
    );
    let (path, signature) = (Shop::hook(channel), signature(&body));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         User-Agent: 360dialog\r\nX-Usher-Secret: {WEBHOOK_SECRET}\r\n\
         X-360dialog-Signature: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(PLATFORM_SECRET.as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_request_holds_what_it_says_it_does() {
        let changes = [
            text(3, 42, 7, "Is it open?"),
            receipt(3, &wa_id(42), "wamid.X", Some("cb"), Status::Read),
        ];
        let request = request(3, &changes);
        let request = std::str::from_utf8(&request).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let mut mac = Hmac::<Sha256>::new_from_slice(PLATFORM_SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        assert!(head.contains(&format!("X-360dialog-Signature: {signature}\r\n")), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        let changes = &body["entry"][0]["changes"];
        assert_eq!(changes[0]["value"]["messages"][0]["text"]["body"], "Is it open?");
        assert_eq!(changes[1]["value"]["statuses"][0]["status"], "read");
        assert_eq!(changes[1]["value"]["metadata"]["phone_number_id"], Shop::phone_number_id(3));
        assert_eq!(visitor_of(&wa_id(42)), Some(42));
    }
}
