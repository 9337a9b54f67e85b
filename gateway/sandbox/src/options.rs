//! What a local 360dialog is started with: its numbers, its pace, and how pretend phones answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// How to start the sandbox. In a JSON file every key but `numbers` may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxOptions {
    /// Loopback only. Port 0 chooses a free one.
    pub bind: SocketAddr,
    pub numbers: Vec<NumberOptions>,
    /// Where media are kept; in memory (bounded) when absent.
    pub media_dir: Option<PathBuf>,
    /// Makes the choices of probabilistic faults and receipt delays repeatable.
    pub seed: u64,
    /// Factor on the redelivery back-off (1 s, 2 s, 4 s … 1 h, for 7 days); 0.01 turns 1 s into 10 ms.
    pub time_scale: f64,
    pub receipts: ReceiptsOptions,
    /// How long a media address stays good, seconds. The real one: 300.
    pub media_url_ttl_s: u64,
}

/// One WhatsApp number at the sandbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberOptions {
    pub phone_number_id: String,
    pub display_phone_number: String,
    pub waba_id: String,
    /// Selects the number on every request, as `D360-API-KEY`.
    pub api_key: String,
    /// Where webhooks go until `POST /v1/configs/webhook` says otherwise.
    #[serde(default)]
    pub webhook_url: Option<String>,
    #[serde(default)]
    pub webhook_headers: Vec<(String, String)>,
    /// When set, webhooks carry `x-360dialog-signature`.
    #[serde(default)]
    pub signing_secret: Option<String>,
    /// Messages per second, in and out together.
    #[serde(default = "eighty")]
    pub mps: u32,
}

/// What pretend phones do by themselves with what they get.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptsOptions {
    pub auto_delivered: bool,
    pub auto_read: bool,
    /// Shortest and longest pause before each receipt, milliseconds.
    pub delay_ms: (u64, u64),
}

const fn eighty() -> u32 {
    80
}

impl NumberOptions {
    /// A number with the provider's default pace and no webhook yet.
    pub fn new(phone_number_id: &str, display: &str, waba_id: &str, api_key: &str) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            display_phone_number: display.to_owned(),
            waba_id: waba_id.to_owned(),
            api_key: api_key.to_owned(),
            webhook_url: None,
            webhook_headers: Vec::new(),
            signing_secret: None,
            mps: eighty(),
        }
    }
}

impl Default for ReceiptsOptions {
    fn default() -> Self {
        Self { auto_delivered: true, auto_read: true, delay_ms: (20, 80) }
    }
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            numbers: Vec::new(),
            media_dir: None,
            seed: 1,
            time_scale: 1.0,
            receipts: ReceiptsOptions::default(),
            media_url_ttl_s: 300,
        }
    }
}
