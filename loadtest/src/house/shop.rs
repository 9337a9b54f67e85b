//! The settings Usher is measured with: how many people, how they are grouped, which channels.

use std::fmt::Write as _;
use std::ops::Range;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use usher_domain::ids::ChannelId;

pub const PASSWORD: &str = "open sesame";
pub const WEBHOOK_SECRET: &str = "only-the-provider-knows";
/// Signs webhooks.
pub const PLATFORM_SECRET: &str = "the-platform-signs-with-this";

/// Numbers of one account; the provider allows 25.
const NUMBERS_PER_SOURCE: usize = 20;

/// One service in the making.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Agents, numbered from 0.
    pub agents: usize,
    pub capacity: u16,
    pub groups: Vec<Group>,
    pub channels: Vec<Channel>,
}

/// A group that agents of a range are in.
#[derive(Clone, Debug)]
pub struct Group {
    pub key: String,
    pub members: Range<usize>,
    /// As in a service file.
    pub method: &'static str,
    pub auto_pick_up: bool,
    /// Seconds.
    pub pick_up: u32,
    pub share: u32,
}

/// A channel whose rule has one destination, a group.
#[derive(Clone, Debug)]
pub struct Channel {
    pub group: String,
    pub welcome: bool,
    /// Idle and grace, seconds.
    pub auto_close: Option<(u32, u32)>,
}

impl Group {
    pub fn new(key: impl Into<String>, members: Range<usize>) -> Self {
        let (method, auto_pick_up) = ("round_robin", false);
        Self { key: key.into(), members, method, auto_pick_up, pick_up: 60, share: 60 }
    }

    /// Whoever it is offered to has it.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { auto_pick_up: true, ..self }
    }
}

impl Channel {
    pub fn to(group: impl Into<String>) -> Self {
        Self { group: group.into(), welcome: false, auto_close: None }
    }
}

impl Shop {
    pub fn channel_id(channel: usize) -> ChannelId {
        ChannelId::from_number(1_000 + u128::try_from(channel).unwrap_or_default())
    }

    pub fn phone_number_id(channel: usize) -> String {
        format!("10000{channel:010}")
    }

    /// How the number is reached at the provider.
    pub fn api_key(channel: usize) -> String {
        format!("key-{channel}")
    }

    pub fn hook(channel: usize) -> String {
        format!("/hooks/360dialog/{}", Self::channel_id(channel))
    }

    pub fn email(agent: usize) -> String {
        format!("a{agent}@load.example")
    }

    pub fn source(channel: usize) -> String {
        format!("20000{:010}", channel / NUMBERS_PER_SOURCE)
    }

    /// The service file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from(
            "[[service]]\nkey = \"load\"\nno_answer_limit = 0\nidle_after = \"24h\"\n\
             owner_gone = \"never\"\noffers_at_once = 100\n",
        );
        let hash = password_hash();
        for agent in 0..self.agents {
            let (email, capacity) = (Self::email(agent), self.capacity);
            let person = format!(
                "[service.staff.a{agent}]\nfirst_name = \"Agent {agent}\"\nemail = \"{email}\"\n\
                 capacity = {capacity}\npassword_hash = \"{hash}\"\n"
            );
            text.push_str(&person);
        }
        text.push_str(&person_above_all(&hash));
        for group in &self.groups {
            group.write(&mut text);
        }
        for (number, channel) in self.channels.iter().enumerate() {
            channel.write(number, &mut text);
        }
        text
    }
}

/// Somebody who may see everything.
fn person_above_all(hash: &str) -> String {
    format!(
        "[service.staff.ada]\nfirst_name = \"Ada\"\nemail = \"ada@load.example\"\n\
         role = \"administrator\"\npassword_hash = \"{hash}\"\n"
    )
}

impl Group {
    fn write(&self, text: &mut String) {
        let Self { key, method, auto_pick_up, pick_up, share, .. } = self;
        let members: Vec<String> = self.members.clone().map(|agent| format!("a{agent}")).collect();
        let group = format!(
            "[service.groups.{key}]\nmembers = {members:?}\nmethod = \"{method}\"\n\
             auto_pick_up = {auto_pick_up}\npick_up = \"{pick_up}s\"\nshare = \"{share}s\"\n\
             [service.rules.{key}]\nalternative = [\"group:{key}\"]\n"
        );
        text.push_str(&group);
    }
}

impl Channel {
    fn write(&self, number: usize, text: &mut String) {
        let key = format!("service.channels.c{number}");
        let Self { group, welcome, auto_close } = self;
        let (id, phone) = (Shop::channel_id(number), Shop::phone_number_id(number));
        let (source, api_key) = (Shop::source(number), Shop::api_key(number));
        let channel = format!(
            "[{key}]\nid = \"{id}\"\nname = \"Channel {number}\"\nrule = \"{group}\"\n\
             [{key}.number]\nphone_number_id = \"{phone}\"\nsource = \"{source}\"\n\
             api_key_file = \"{api_key}\"\nwebhook_header = \"X-Usher-Secret\"\n\
             webhook_secret_file = \"webhook-secret\"\nsignature = \"required\"\n\
             [{key}.welcome]\non = {welcome}\ntext = \"Welcome to the shop!\"\n\
             [{key}.away]\non = false\n[{key}.close]\non = false\n"
        );
        text.push_str(&channel);
        if let Some((idle, grace)) = auto_close {
            // Writing into a text cannot fail.
            write!(
                text,
                "[{key}.auto_close]\non = true\nidle = \"{idle}s\"\ngrace = \"{grace}s\"\n"
            )
            .ok();
        }
    }
}

/// Quick to check: hundreds sign in before anything is measured. The real one takes some 20 ms.
fn password_hash() -> String {
    let params = Params::new(8, 1, 1, None).expect("the smallest there are");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(PASSWORD.as_bytes()).expect("letters can be hashed").to_string()
}
