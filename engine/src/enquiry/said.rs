//! What we say to the visitor: written down, shown in the room, handed to the channel's outbox.

use usher_domain::enquiry::auto_message::{as_sent, display_name};
use usher_domain::ids::StaffId;
use usher_domain::message::{Author, Content, Delivery};
use usher_domain::outbox::Priority;
use usher_domain::record::{Event, MessageQueued};
use usher_protocol::event::{Direction, Event as Telling, Message, Writer, shown};

use super::Enquiry;
use crate::channel::ToSend;
use crate::clip;
use crate::ledger::Release;
use crate::outgoing::Outgoing;
use crate::peers::{Peers, new_message};

impl Enquiry {
    pub(super) fn queued(&self, author: Author, content: Content) -> MessageQueued {
        MessageQueued {
            message: new_message(),
            channel: self.channel,
            visitor: self.visitor.id,
            enquiry: Some(self.id),
            author,
            content,
            reply_to: None,
            reacts_to: None,
            key: None,
            withdraw_at: None,
        }
    }

    /// Writes it down, shows it and hands it to the outbox, all in one group.
    pub(super) fn queue(
        &mut self,
        queued: MessageQueued,
        class: Priority,
        reply_to: Option<usher_domain::ids::MessageId>,
        releases: Vec<Release>,
    ) {
        let Some(outgoing) = outgoing(&self.peers, &self.visitor.identities, &queued) else {
            return;
        };
        let (visitor, withdraw_at) = (self.visitor.id, queued.withdraw_at);
        let telling = self.sent_telling(&queued, reply_to);
        self.write(vec![Event::MessageQueued(Box::new(queued))], releases);
        self.tell(self.room(), &telling);
        if let Some(channel) = self.peers.channel(self.channel) {
            channel.do_send(ToSend {
                outgoing: Box::new(outgoing),
                visitor,
                class,
                withdraw_at,
                in_doubt: false,
            });
        }
    }

    fn sent_telling(
        &self,
        queued: &MessageQueued,
        reply_to: Option<usher_domain::ids::MessageId>,
    ) -> Telling {
        let bot =
            |id| self.peers.settings.bots.get(&id).map_or_else(String::new, |bot| bot.name.clone());
        let message = Message {
            id: queued.message,
            enquiry: self.id,
            order: self.peers.ledger.last() + 1,
            direction: Direction::Out,
            writer: Writer::of(queued.author, |id: StaffId| self.peers.name_of(id), bot),
            content: clip::content(shown(&queued.content)),
            time: self.stamp().into(),
            provider_time: None,
            reply_to,
            delivery: Some(Delivery::Queued),
            failure: None,
            key: queued.key.clone(),
            referral: None,
            forwarded: false,
            changed: None,
            reactions: Vec::new(),
        };
        Telling::Sent { message: Box::new(message) }
    }
}

/// A queued message as it is to leave: with the display name, for this person. `None` only where the
/// text no longer fits, which is refused before it is queued.
pub(crate) fn outgoing(
    peers: &Peers,
    to: &usher_domain::visitor::Identities,
    queued: &MessageQueued,
) -> Option<Outgoing> {
    let setting = peers.channel_settings(queued.channel)?.display_name;
    let name = match queued.author {
        Author::Staff { staff } => {
            peers.settings.staff.get(&staff).and_then(|person| display_name(setting, person))
        }
        Author::Bot { .. } | Author::Auto { .. } | Author::Phone => None,
    };
    let content = if queued.reacts_to.is_some() {
        queued.content.clone()
    } else {
        as_sent(queued.content.clone(), name.as_deref()).ok()?
    };
    Some(Outgoing {
        service: peers.id,
        channel: queued.channel,
        message: queued.message,
        enquiry: queued.enquiry,
        to: to.clone(),
        content,
        reply_to: queued.reply_to.clone(),
        reacts_to: queued.reacts_to.clone(),
    })
}
