//! Visitors who write whatever happens, through a provider that posts until it gets its 200.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use usher_engine::Clock;

use crate::house::House;
use crate::shop::WEBHOOK_SECRET;

/// Write about twice in three seconds each.
const BUSY: u64 = 400;
/// Write now and then, so that silence comes between.
const QUIET: u64 = 40;
const POSTERS: u64 = 64;
/// Of each poster: together 640 posts per second.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) struct Visitors {
    http: Client,
    /// Where each channel's webhooks go, and the number behind it.
    channels: Vec<(String, String)>,
    clock: Clock,
    last: AtomicU64,
    tried: AtomicU64,
    answered: RwLock<BTreeSet<String>>,
}

pub(crate) fn wa_id(visitor: u64) -> String {
    format!("49151{visitor:08}")
}

/// Every phone writes once, so that the provider knows it and its window is open.
pub(crate) async fn introduce(house: &House) {
    for channel in 0..house.shop.channels {
        let number = house.shop.phone_number_id_of(channel);
        let theirs = (0..BUSY + QUIET)
            .filter(|visitor| visitor % u64::from(house.shop.channels) == u64::from(channel))
            .map(|visitor| {
                let from = wa_id(visitor);
                json!({"from": from, "number": number, "type": "text", "text": "Hello"})
            });
        house.sandbox_post("batch", &theirs.collect()).await;
    }
}

pub(crate) fn start(visitors: &Arc<Visitors>, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let poster = |number| tokio::spawn(Arc::clone(visitors).post_all(number, stop.clone()));
    (0..POSTERS).map(poster).collect()
}

impl Visitors {
    pub(crate) fn new(house: &House) -> Self {
        Self {
            http: house.http.clone(),
            channels: (0..house.shop.channels)
                .map(|index| {
                    let path = format!("/hooks/360dialog/{}", house.shop.channel_of(index));
                    (house.url(&path), house.shop.phone_number_id_of(index))
                })
                .collect(),
            clock: Clock::system(),
            last: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            answered: RwLock::default(),
        }
    }

    pub(crate) fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.answered.read().unwrap().len() as u64
    }

    /// The provider's ids of all messages whose post was answered 200.
    pub(crate) fn answered(&self) -> BTreeSet<String> {
        self.answered.read().unwrap().clone()
    }

    async fn post_all(self: Arc<Self>, poster: u64, stop: watch::Receiver<bool>) {
        let mut turns = interval(EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            turns.tick().await;
            let number = self.last.fetch_add(1, Ordering::Relaxed);
            let visitor = match number % 100 {
                99 => BUSY + (number / 100 + poster) % QUIET,
                _ => number % BUSY,
            };
            self.post(number, visitor).await;
        }
    }

    /// Posts one message until it is answered 200, as the provider does.
    async fn post(&self, number: u64, visitor: u64) {
        let wamid = format!("wamid.kill-{number}");
        let channel = usize::try_from(visitor).unwrap() % self.channels.len();
        let (hook, phone_number_id) = &self.channels[channel];
        let body = self.body(&wamid, phone_number_id, visitor, number);
        loop {
            self.tried.fetch_add(1, Ordering::Relaxed);
            let request = self
                .http
                .post(hook)
                .header("x-usher-secret", WEBHOOK_SECRET)
                .header("content-type", "application/json")
                .timeout(Duration::from_secs(5))
                .body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status() == 200 => break,
                // The pause of the provider, shortened: nothing is waited for here.
                Ok(_) | Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
        self.answered.write().unwrap().insert(wamid);
    }

    fn body(&self, wamid: &str, id: &str, visitor: u64, number: u64) -> String {
        let mut body = String::with_capacity(512);
        let (from, seconds) = (wa_id(visitor), self.clock.now().millis() / 1000);
        write!(
            body,
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"2000000000001","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550100","phone_number_id":"{id}"}},"contacts":[{{"profile":{{"name":"V{visitor}"}},"wa_id":"{from}"}}],"messages":[{{"from":"{from}","id":"{wamid}","timestamp":"{seconds}","type":"text","text":{{"body":"message {number}"}}}}]}}}}]}}]}}"#
        )
        .unwrap();
        body
    }
}
