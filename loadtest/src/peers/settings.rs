//! Usher's settings for the same work as the peers': nothing is said by itself but the two messages
//! of silence, enquiries are assigned without a click.

use std::fmt::Write as _;

use usher_domain::ids::ChannelId;

use super::service::Terms;

pub(super) const WEBHOOK_SECRET: &str = "only-the-provider-knows";
pub(super) const PASSWORD: &str = "open sesame";
pub(super) const NOTIFICATION: &str = "Still there?";
pub(super) const GOODBYE: &str = "Goodbye.";

pub(super) fn agent(place: usize) -> String {
    format!("agent-{place:03}")
}

pub(super) fn email(agent: &str) -> String {
    format!("{agent}@peers.example")
}

fn channel() -> ChannelId {
    ChannelId::from_number(7)
}

pub(super) fn hook() -> String {
    format!("/hooks/360dialog/{}", channel())
}

pub(super) fn node(port: u16, metrics: u16, provider: &str) -> String {
    format!(
        "data_dir = \"data\"\n[http]\nbind = \"127.0.0.1:{port}\"\n[metrics]\nbind = \"127.0.0.1:{metrics}\"\n\
         [limits]\ncommands_per_second = 10000\ncommands_burst = 10000\n\
         [provider]\nbase_url = \"{provider}\"\nmessages_per_second = 1000\n\
         platform_secret_file = \"platform-secret\"\n\
         [log]\nlevel = \"warn\"\n[services]\nfiles = [\"desk.toml\"]\n"
    )
}

pub(super) fn service(terms: &Terms, number: &str) -> String {
    let mut text =
        "[[service]]\nkey = \"peers\"\ndemo = true\nno_answer_limit = 0\nauto_pick_up = true\n"
            .to_owned();
    let agents: Vec<String> = (0..terms.agents).map(agent).collect();
    for agent in &agents {
        let (email, capacity) = (email(agent), terms.capacity);
        writeln!(
            text,
            "[service.staff.{agent}]\nfirst_name = \"{agent}\"\nemail = \"{email}\"\n\
             capacity = {capacity}\ndemo_password = \"{PASSWORD}\""
        )
        .expect("text takes everything");
    }
    let (channel, idle, grace) = (channel(), terms.idle.as_millis(), terms.grace.as_millis());
    write!(
        text,
        "[service.groups.desk]\nmembers = {agents:?}\nmethod = \"least_loaded\"\npick_up = \"60m\"\n\
         [service.queues.desk]\ngroup = \"desk\"\nlength_max = 1000\nwait_max = \"60m\"\n\
         [service.rules.desk]\nalternative = [\"group:desk\", \"queue:desk\"]\n\
         [service.channels.desk]\nid = \"{channel}\"\nname = \"Desk\"\nrule = \"desk\"\n\
         [service.channels.desk.number]\nphone_number_id = \"{number}\"\napi_key_file = \"api-key\"\n\
         webhook_secret_file = \"webhook-secret\"\nsignature = \"required\"\n\
         [service.channels.desk.welcome]\non = false\n[service.channels.desk.away]\non = false\n\
         [service.channels.desk.close]\ntext = \"{GOODBYE}\"\n\
         [service.channels.desk.auto_close]\non = true\nidle = \"{idle}ms\"\ngrace = \"{grace}ms\"\n\
         text = \"{NOTIFICATION}\"\n"
    )
    .expect("text takes everything");
    text
}
