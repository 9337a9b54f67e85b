//! A visitor with a pretend phone.

use std::collections::BTreeMap;

use reqwest::Client;
use serde_json::{Value, json};

use crate::house::House;
use crate::wait::until;

pub(crate) struct Phone {
    http: Client,
    sandbox: String,
    pub(crate) wa_id: String,
    number: String,
    cursor: u64,
    /// The latest of each message, by its id.
    entries: BTreeMap<u64, Value>,
    order: BTreeMap<String, u64>,
}

impl Phone {
    pub(crate) fn new(house: &House, wa_id: &str) -> Self {
        let number = house.shop.phone_number_id();
        let (entries, order) = (BTreeMap::new(), BTreeMap::new());
        let (http, sandbox) = (house.http.clone(), house.sandbox.base_url());
        Self { http, sandbox, wa_id: wa_id.to_owned(), number, cursor: 0, entries, order }
    }

    /// Writes a text; returns the provider's id of it.
    pub(crate) async fn writes(&self, text: &str) -> String {
        self.sends(json!({ "type": "text", "text": text })).await
    }

    /// Sends any message the sandbox knows.
    pub(crate) async fn sends(&self, mut message: Value) -> String {
        message["number"] = json!(self.number);
        let address = format!("{}/sandbox/api/phones/{}/messages", self.sandbox, self.wa_id);
        let sent = self.http.post(address).json(&message).send().await.unwrap();
        let sent: Value = sent.json().await.unwrap();
        sent["id"].as_str().unwrap().to_owned()
    }

    async fn look(&mut self) {
        let address = format!(
            "{}/sandbox/api/phones/{}/thread?number={}&after={}&wait_ms=200",
            self.sandbox, self.wa_id, self.number, self.cursor
        );
        let thread: Value = self.http.get(address).send().await.unwrap().json().await.unwrap();
        self.cursor = thread["cursor"].as_u64().unwrap();
        for entry in thread["entries"].as_array().unwrap() {
            let next = self.order.len() as u64;
            let id = entry["id"].as_str().unwrap().to_owned();
            let place = *self.order.entry(id).or_insert(next);
            self.entries.insert(place, entry.clone());
        }
    }

    /// Everything from the business that the phone shows.
    pub(crate) fn shown(&self) -> Vec<&Value> {
        let shown = |entry: &&Value| entry["from"] == "business" && entry["shown"] == true;
        self.entries.values().filter(shown).collect()
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.shown().iter().filter_map(|entry| entry["body"]["text"]["body"].as_str()).collect()
    }

    /// Waits for a message of the business that fits.
    pub(crate) async fn gets(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(what, async || {
            self.look().await;
            let found = self.shown().into_iter().find(|entry| fits(entry)).cloned();
            found.ok_or_else(|| format!("{:?}", self.texts()))
        })
        .await
    }

    pub(crate) async fn gets_text(&mut self, text: &str) -> Value {
        self.gets(text, |entry| entry["body"]["text"]["body"] == text).await
    }
}
