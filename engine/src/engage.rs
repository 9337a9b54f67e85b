//! Engagement: staff write first, with a template; the answer comes back to them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use usher_domain::access::{Action, Viewer, may};
use usher_domain::ids::{ChannelId, MessageId, StaffId};
use usher_domain::message::{Author, Content};
use usher_domain::outbox::Priority;
use usher_domain::record::{Event, MessageQueued, Record};
use usher_domain::template::Template;
use usher_domain::trace::BindingKind;
use usher_domain::visitor::{Binding, Change, Refusal as Refused, Visitor};
use usher_protocol::command::{Key, Recipient};
use usher_protocol::refusal::{Code, Refusal};

use crate::channel::{HasLive, ToSend};
use crate::directory::{Meet, Remember, WhoIs};
use crate::enquiry::outgoing;
use crate::handle::Answer;
use crate::peers::{Peers, new_message};
use crate::service::AnswerTo;
use crate::templates;

/// How long the answer is brought to whoever wrote first.
const ENGAGED_FOR: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// Keys of first messages remembered besides the archive.
const STARTED_MAX: usize = 1_000;

/// What somebody wants to write first, to whom.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) staff: StaffId,
    pub(crate) channel: ChannelId,
    pub(crate) to: Recipient,
    pub(crate) template: Template,
    pub(crate) key: Key,
}

/// Opens no enquiry: sends the template and remembers who wrote.
pub(crate) fn start(peers: &Peers, wanted: Wanted, answer: AnswerTo) {
    let peers = peers.clone();
    actix::spawn(async move {
        let staff = wanted.staff;
        let outcome = once(&peers, wanted).await;
        answer.answer(&peers, staff, outcome);
    });
}

/// A repeat while the first one is under way, or before the archive has it, is not sent twice.
async fn once(peers: &Peers, wanted: Wanted) -> Answer {
    let key = (wanted.staff, wanted.key.as_str().to_owned());
    {
        let mut starting = peers.starting.borrow_mut();
        match starting.get(&key) {
            Some(Some(message)) => return Ok(json!({ "message": message })),
            Some(None) => return Err(Code::Unavailable.into()),
            None => starting.insert(key.clone(), None),
        };
    }
    let outcome = engage(peers, wanted).await;
    let mut starting = peers.starting.borrow_mut();
    match &outcome {
        Ok((message, _)) => {
            // By the time that so many more are known, the archive has the older ones.
            while starting.len() > STARTED_MAX
                && let Some(done) =
                    starting.iter().find(|(_, done)| done.is_some()).map(|(key, _)| key.clone())
            {
                starting.remove(&done);
            }
            starting.insert(key, Some(*message));
        }
        Err(_) => {
            starting.remove(&key);
        }
    }
    outcome.map(|(_, ok)| ok)
}

async fn engage(peers: &Peers, wanted: Wanted) -> Result<(MessageId, Value), Refusal> {
    allowed(peers, &wanted)?;
    let author = Author::Staff { staff: wanted.staff };
    let again = peers.reader.message_by_key(peers.id, &author, wanted.key.as_str()).ok().flatten();
    if let Some(row) = again {
        if row.content != Content::Template(wanted.template) {
            return Err(Code::KeyReused.into());
        }
        return Ok((row.message, json!({ "message": row.message })));
    }
    templates::judge(peers, wanted.channel, &wanted.template)?;
    let visitor = recipient(peers, &wanted).await?;
    let channel = peers.channel(wanted.channel).ok_or(Code::NotFound)?;
    if channel.send(HasLive(visitor.id)).await.unwrap_or(false) {
        return Err(Code::LiveEnquiry.into());
    }
    bind(peers, &wanted, &visitor).await?;
    let queued = MessageQueued {
        message: new_message(),
        channel: wanted.channel,
        visitor: visitor.id,
        enquiry: None,
        author,
        content: Content::Template(wanted.template),
        reply_to: None,
        reacts_to: None,
        key: Some(wanted.key.into()),
        withdraw_at: None,
    };
    let message = queued.message;
    let leaving = outgoing(peers, &visitor.identities, &queued).ok_or(Code::Unsupported)?;
    let record = Record::new(peers.now(), Event::MessageQueued(Box::new(queued)));
    peers.ledger.append(vec![record], Vec::new());
    channel.do_send(ToSend {
        outgoing: Box::new(leaving),
        visitor: visitor.id,
        class: Priority::Staff,
        withdraw_at: None,
        in_doubt: false,
    });
    Ok((message, json!({ "message": message, "visitor": visitor.id })))
}

fn allowed(peers: &Peers, wanted: &Wanted) -> Result<(), Refusal> {
    let channel = peers.channel_settings(wanted.channel).ok_or(Code::NotFound)?;
    let person = peers.settings.staff.get(&wanted.staff).ok_or(Code::NotFound)?;
    let viewer = Viewer {
        staff: Some(wanted.staff),
        role: person.role,
        supervises: &person.supervises,
        member_of: &[],
        channels: None,
    };
    let allowed: &[StaffId] = if channel.engagement.on { &channel.engagement.staff } else { &[] };
    let action = Action::Start { channel: wanted.channel, allowed };
    may(&viewer, action).map_err(|_| {
        Refusal::saying(Code::Forbidden, "You are not on this channel's engagement list.")
    })
}

async fn recipient(peers: &Peers, wanted: &Wanted) -> Result<Arc<Visitor>, Refusal> {
    let found = match &wanted.to {
        Recipient::Visitor(visitor) => peers.directory.send(WhoIs(*visitor)).await.ok().flatten(),
        Recipient::Phone(phone) => {
            let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
            if digits.len() < 7 || digits.len() > 15 {
                let text = "A phone number is written with its country code: 7 to 15 digits.";
                return Err(Refusal::saying(Code::Malformed, text));
            }
            peers
                .directory
                .send(Meet { wa_id: digits, channel: wanted.channel })
                .await
                .ok()
                .flatten()
        }
    };
    found.ok_or_else(|| Code::NotFound.into())
}

async fn bind(peers: &Peers, wanted: &Wanted, visitor: &Visitor) -> Result<(), Refusal> {
    let now = peers.wall_now();
    let binding = Binding {
        kind: BindingKind::Engagement,
        staff: wanted.staff,
        channel: Some(wanted.channel),
        set_at: now,
        expires_at: Some(now + ENGAGED_FOR),
    };
    let (told, hears) = oneshot::channel();
    let change = Change::SetBinding { binding };
    peers.directory.do_send(Remember {
        visitor: visitor.id,
        change,
        answer: Some(told),
        and: Vec::new(),
    });
    match hears.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Refused::Engaged { .. })) => Err(Code::Engaged.into()),
        Ok(Err(Refused::OptedOut)) => Err(Code::OptedOut.into()),
        Ok(Err(Refused::UnknownVisitor)) => Err(Code::NotFound.into()),
        Err(_) => Err(Code::Unavailable.into()),
    }
}
