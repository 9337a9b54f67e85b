//! What people above are told of the floor besides what concerns one enquiry.

use usher_domain::ids::BotId;
use usher_domain::settings::{Role, Staff};
use usher_protocol::event::{Event as Telling, Level};

use crate::ledger::Release;
use crate::peers::Peers;

/// A bot has failed so often that it is passed over.
pub(super) fn failing_bot(peers: &Peers, bot: BotId) {
    let settings = &peers.settings;
    let name = settings.bots.get(&bot).map_or("(deleted)", |bot| &bot.name);
    tracing::error!(%bot, name, "the bot fails again and again; it is passed over for a minute");
    let above = |person: &&Staff| person.enabled && person.role >= Role::Supervisor;
    let to = settings.staff.values().filter(above).map(|person| person.id).collect();
    let text = format!("The bot {name} fails again and again; it is passed over for a minute.");
    let notice = Telling::Notice { level: Level::Warning, text, enquiry: None };
    peers.ledger.release(Release::Feed { to, tail: notice.tail(), may_wait: false });
}
