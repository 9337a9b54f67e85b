//! The WhatsApp number behind a channel: how we send from it, and how its webhooks prove themselves.

use secrecy::{ExposeSecret as _, SecretString};

use super::Service;
use super::keys::digest;
use crate::node::Node;
use crate::table::Table;
use crate::value;

/// The header that a webhook's secret comes in where none is named.
const WEBHOOK_HEADER: &str = "X-Usher-Secret";

/// How a channel's number is reached at the provider.
#[derive(Clone, Debug)]
pub struct Number {
    /// `None`: to be learnt from the first authenticated webhook on the channel's address.
    pub phone_number_id: Option<String>,
    /// The number as people write it; for show.
    pub display: Option<String>,
    /// The provider account it belongs to (a WABA).
    pub source: Option<String>,
    pub api_key: SecretString,
    pub webhook: WebhookAuth,
    pub signature: Signature,
    /// Whether it lives at the local 360dialog instead of the real one.
    pub sandbox: bool,
}

/// What every webhook must carry; set when the webhook is registered.
#[derive(Clone, Debug)]
pub enum WebhookAuth {
    Header { name: String, secret: SecretString },
    Basic { user: String, password: SecretString },
}

/// Whether `x-360dialog-signature` is asked for, and the platform secret that makes it.
#[derive(Clone, Debug)]
pub enum Signature {
    Off,
    /// Checked where it is there.
    Optional(SecretString),
    Required(SecretString),
}

/// What the local 360dialog is started with for one channel.
#[derive(Clone, Debug)]
pub struct SandboxNumber {
    pub channel: usher_domain::ids::ChannelId,
    pub phone_number_id: String,
    pub display_number: String,
    pub waba_id: String,
    pub api_key: SecretString,
    pub webhook: WebhookAuth,
    /// Signs webhooks where the channel asks for it.
    pub signing_secret: Option<SecretString>,
}

/// What numbers fall back on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults<'a> {
    pub(super) platform_secret: Option<&'a SecretString>,
    pub(super) sandbox_on: bool,
}

/// The numbers of all channels with `sandbox = true`.
pub fn sandbox_numbers(services: &[Service]) -> Vec<SandboxNumber> {
    let numbers = services.iter().flat_map(|service| &service.numbers);
    numbers.filter_map(|(channel, number)| sandbox_number(*channel, number)).collect()
}

fn sandbox_number(channel: usher_domain::ids::ChannelId, number: &Number) -> Option<SandboxNumber> {
    if !number.sandbox {
        return None;
    }
    let signing_secret = match &number.signature {
        Signature::Off => None,
        Signature::Optional(secret) | Signature::Required(secret) => Some(secret.clone()),
    };
    Some(SandboxNumber {
        channel,
        phone_number_id: number.phone_number_id.clone()?,
        display_number: number.display.clone()?,
        waba_id: number.source.clone()?,
        api_key: number.api_key.clone(),
        webhook: number.webhook.clone(),
        signing_secret,
    })
}

/// `None` for a channel that has none, which only a disconnected one may.
pub(super) fn number(
    channel: &mut Table<'_>,
    service: &str,
    key: &str,
    defaults: &Defaults<'_>,
    optional: bool,
) -> Option<Number> {
    let sandbox = channel.or("sandbox", false, value::switch);
    if sandbox && !defaults.sandbox_on {
        channel.warn("sandbox", "the sandbox is off: nothing can be sent; see `sandbox.on`");
    }
    if optional && !channel.has("number") {
        return None;
    }
    let mut table = channel.section("number");
    let made_up = sandbox.then(|| MadeUp::new(service, key));
    let phone_number_id = table
        .read("phone_number_id", digits)
        .or_else(|| made_up.as_ref().map(|made_up| made_up.phone_number_id.clone()));
    let display = table
        .read("display", value::words_up_to(40))
        .or_else(|| made_up.as_ref().map(|made_up| made_up.display.clone()));
    let source = table
        .read("source", digits)
        .or_else(|| made_up.as_ref().map(|made_up| made_up.source.clone()));
    let made_up_key = made_up.as_ref().map(|made_up| &made_up.api_key);
    let api_key = secret(&mut table, ["api_key_env", "api_key_file"], made_up_key);
    let made_up_secret = made_up.as_ref().map(|made_up| &made_up.webhook_secret);
    let webhook = webhook(&mut table, made_up_secret);
    let signature = signature(&mut table, defaults.platform_secret);
    table.done();
    Some(Number {
        phone_number_id,
        display,
        source,
        api_key: api_key?,
        webhook: webhook?,
        signature: signature?,
        sandbox,
    })
}

/// A number of the local 360dialog: the same after every start.
struct MadeUp {
    phone_number_id: String,
    display: String,
    source: String,
    api_key: SecretString,
    webhook_secret: SecretString,
}

impl MadeUp {
    fn new(service: &str, key: &str) -> Self {
        let [a, b, ..] = digest(service, "number", key);
        let of_channel = u16::from_be_bytes([a, b]);
        let [c, d, ..] = digest(service, "source", "");
        let hex = |kind| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest(service, kind, key)[..16]);
            format!("{:032x}", u128::from_be_bytes(bytes))
        };
        Self {
            phone_number_id: format!("1000000000{of_channel:05}"),
            // +1 ??? 555 01?? is set aside for made-up numbers.
            display: format!("+1 {} 555 01{:02}", 200 + of_channel % 700, of_channel % 100),
            source: format!("2000000000{:05}", u16::from_be_bytes([c, d])),
            api_key: SecretString::from(format!("sandbox-{}", hex("api-key"))),
            webhook_secret: SecretString::from(hex("webhook")),
        }
    }
}

fn digits(node: &Node) -> Result<String, String> {
    let written = value::text(node)?;
    let fits = (1..=32).contains(&written.len()) && written.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(written) } else { Err(format!("`{written}` is not an id made of digits")) }
}

fn secret(
    table: &mut Table<'_>,
    [env_key, file_key]: [&'static str; 2],
    default: Option<&SecretString>,
) -> Option<SecretString> {
    let missing = !table.has(env_key) && !table.has(file_key);
    if missing && default.is_none() {
        table.fault(env_key, format!("is missing (or {file_key})"));
    }
    table.secret(env_key, file_key).or_else(|| default.filter(|_| missing).cloned())
}

fn webhook(table: &mut Table<'_>, default: Option<&SecretString>) -> Option<WebhookAuth> {
    let header = table.read("webhook_header", header_name);
    let user = table.read("webhook_user", value::words_up_to(80));
    if header.is_some() && user.is_some() {
        table.fault("webhook_user", "cannot be set together with `webhook_header`");
    }
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        table.fault("webhook_user", "must not contain a colon");
    }
    let secret = secret(table, ["webhook_secret_env", "webhook_secret_file"], default)?;
    if secret.expose_secret().contains(|c: char| !c.is_ascii_graphic()) {
        table.fault("", "the webhook's secret must be visible ASCII characters without spaces");
    }
    Some(match user {
        Some(user) => WebhookAuth::Basic { user, password: secret },
        None => WebhookAuth::Header {
            name: header.unwrap_or_else(|| WEBHOOK_HEADER.to_owned()),
            secret,
        },
    })
}

fn header_name(node: &Node) -> Result<String, String> {
    let written = value::text(node)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=80).contains(&written.len()) && written.bytes().all(fits) {
        Ok(written)
    } else {
        Err(format!("`{written}` is not the name of a header"))
    }
}

fn signature(table: &mut Table<'_>, common: Option<&SecretString>) -> Option<Signature> {
    type Make = fn(SecretString) -> Signature;
    let modes: [(&str, Option<Make>); 3] = [
        ("off", None),
        ("optional", Some(Signature::Optional)),
        ("required", Some(Signature::Required)),
    ];
    let mode = table.or("signature", None, value::one_of(&modes));
    let own = table.secret("platform_secret_env", "platform_secret_file");
    let Some(make) = mode else { return Some(Signature::Off) };
    let secret = own.or_else(|| common.cloned());
    if secret.is_none() {
        table.fault(
            "signature",
            "needs a platform secret: here, or `provider.platform_secret_file`",
        );
    }
    secret.map(make)
}
