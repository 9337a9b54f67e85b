//! Commands of a person: about themselves here, about enquiries passed on.

use actix::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;
use usher_domain::access::{Action, Viewer, may};
use usher_domain::attendance::{self, Setter};
use usher_domain::ids::{GroupId, StaffId, VisitorId};
use usher_domain::settings::Role;
use usher_domain::visitor::{Change, Refusal as Refused};
use usher_protocol::command::{Command, Held, SetPresence};
use usher_protocol::refusal::{Code, Refusal};

use super::{Commanded, Page, SignedOut, Staff, Wanted};
use crate::directory::Remember;
use crate::enquiry::Told;
use crate::history;
use crate::peers::Peers;
use crate::router::{HowMany, Pass, Serves, Show};
use crate::service::AnswerTo;
use crate::staff::SetBySupervisor;

impl Handler<Commanded> for Staff {
    type Result = ();

    fn handle(&mut self, Commanded { command, answer }: Commanded, ctx: &mut Context<Self>) {
        let _taken = self.peers.in_hand.clone().take_mark(answer.mark());
        if let AnswerTo::Connection { connection, .. } = &answer {
            let connection = attendance::ConnectionId(connection.0);
            // Every command counts as activity; a connection that is gone has none.
            self.attend(attendance::Command::Activity { connection }).ok();
        }
        match command {
            Command::Activity {} | Command::Ack { .. } => self.ok(answer),
            Command::PresenceSet { presence, staff } => self.set_presence(presence, staff, answer),
            Command::SignOut { held } => self.sign_out(held, answer, ctx),
            Command::Block { visitor, .. } => self.block(visitor, answer),
            Command::Language { visitor, language } => {
                let language = language.map(String::into_boxed_str);
                self.change_served(visitor, Change::SetLanguage { language }, answer);
            }
            Command::OptOut { visitor, on } => {
                let change = if on { Change::OptOut } else { Change::OptIn };
                self.change_served(visitor, change, answer);
            }
            Command::Start { channel, to, template, key } => {
                let wanted = crate::engage::Wanted { staff: self.id, channel, to, template, key };
                crate::engage::start(&self.peers, wanted, answer);
            }
            Command::History { enquiry, before, limit } => {
                history::answer(
                    &self.peers,
                    self.id,
                    history::Page { enquiry, before, limit },
                    answer,
                );
            }
            Command::Unserved { state, before, limit } => {
                let wanted = Wanted::Page(Page { state, before, limit, answer });
                self.peers.router.do_send(Show { staff: self.id, addr: ctx.address(), wanted });
            }
            other => match other.enquiry() {
                Some(enquiry) => {
                    let command = Box::new(other);
                    let what = Told::Order { staff: self.id, command, answer };
                    self.peers.router.do_send(Pass { enquiry, what });
                }
                None => answer.answer(&self.peers, self.id, Err(Code::Malformed.into())),
            },
        }
    }
}

impl Staff {
    fn ok(&self, answer: AnswerTo) {
        answer.answer(&self.peers, self.id, Ok(json!({})));
    }

    fn refuse(&self, answer: AnswerTo, refusal: impl Into<Refusal>) {
        answer.answer(&self.peers, self.id, Err(refusal.into()));
    }

    fn set_presence(&mut self, presence: SetPresence, of: Option<StaffId>, answer: AnswerTo) {
        if let Some(other) = of.filter(|other| *other != self.id) {
            return self.set_presence_of(other, presence, answer);
        }
        let command = attendance::Command::Set { presence: presence.into(), by: Setter::Own };
        match self.attend(command) {
            Ok(()) => {
                self.peers.ledger.release(answer.release(&self.peers, self.id, Ok(json!({}))));
            }
            Err(refused) => {
                self.refuse(answer, Refusal::saying(Code::NotActive, refused.to_string()));
            }
        }
    }

    fn set_presence_of(&self, other: StaffId, presence: SetPresence, answer: AnswerTo) {
        let theirs = self.groups_of(other);
        let own = self.groups_of(self.id);
        let allowed = self.peers.settings.staff.get(&self.id).is_some_and(|person| {
            let viewer = Viewer {
                staff: Some(self.id),
                role: person.role,
                supervises: &person.supervises,
                member_of: &own,
                channels: None,
            };
            may(&viewer, Action::SetPresenceOf { member_of: &theirs }).is_ok()
        });
        match self.peers.staff(other).filter(|_| allowed) {
            Some(addr) => {
                let presence = presence.into();
                addr.do_send(SetBySupervisor { presence, by: self.id, answer });
            }
            None => self.refuse(answer, Code::NotFound),
        }
    }

    fn groups_of(&self, staff: StaffId) -> Vec<GroupId> {
        let groups = self.peers.settings.groups.values();
        groups.filter(|group| group.members.contains(&staff)).map(|group| group.id).collect()
    }

    fn sign_out(&mut self, held: Option<Held>, answer: AnswerTo, ctx: &mut Context<Self>) {
        let session = match &answer {
            AnswerTo::Connection { connection, .. } => {
                self.connections.get(connection).map(|open| open.session)
            }
            AnswerTo::Caller { .. } => None,
        };
        let router = self.peers.router.clone();
        let staff = self.id;
        let counted = async move { router.send(HowMany(staff)).await.unwrap_or(0) };
        let then = counted.into_actor(self).map(move |holds, staff, ctx| {
            if holds > 0 && held.is_none() {
                return staff.refuse(answer, Code::HoldsEnquiries);
            }
            if held == Some(Held::HandOver) {
                staff.peers.router.do_send(crate::router::HandOver(staff.id));
            }
            let release = answer.release(&staff.peers, staff.id, Ok(json!({})));
            staff.peers.ledger.release(release);
            if let Some(session) = session {
                staff.end_session(session, ctx);
            }
        });
        ctx.spawn(then);
    }

    /// Nothing is sent after it, but the answer first.
    fn end_session(&mut self, session: usher_domain::ids::SessionId, ctx: &mut Context<Self>) {
        let event = usher_domain::record::Event::SessionEnded { session };
        let record = usher_domain::record::Record::new(self.peers.now(), event);
        self.peers.ledger.append(vec![record], Vec::new());
        ctx.notify_later(SignedOut(session), std::time::Duration::from_millis(200));
    }

    fn block(&self, visitor: VisitorId, answer: AnswerTo) {
        if !self.supervises() {
            return self.refuse(answer, Code::Forbidden);
        }
        let (peers, staff) = (self.peers.clone(), self.id);
        actix::spawn(async move {
            if history::is_over(&peers, staff, visitor).await {
                change_visitor(&peers, staff, (visitor, Change::Block), answer).await;
            } else {
                answer.answer(&peers, staff, Err(Code::NotFound.into()));
            }
        });
    }

    fn supervises(&self) -> bool {
        let person = self.peers.settings.staff.get(&self.id);
        person.is_some_and(|person| person.role >= Role::Supervisor)
    }

    /// By whoever serves the visitor, or supervises who does; to others there is no such visitor.
    fn change_served(&self, visitor: VisitorId, change: Change, answer: AnswerTo) {
        let (peers, staff, supervises) = (self.peers.clone(), self.id, self.supervises());
        actix::spawn(async move {
            let serves = peers.router.send(Serves { staff, visitor }).await.unwrap_or(false);
            if serves || supervises && history::is_over(&peers, staff, visitor).await {
                change_visitor(&peers, staff, (visitor, change), answer).await;
            } else {
                answer.answer(&peers, staff, Err(Code::NotFound.into()));
            }
        });
    }
}

async fn change_visitor(
    peers: &Peers,
    staff: StaffId,
    (visitor, change): (VisitorId, Change),
    answer: AnswerTo,
) {
    let (told, hears) = oneshot::channel();
    peers.directory.do_send(Remember { visitor, change, answer: Some(told), and: Vec::new() });
    let outcome = match hears.await {
        Ok(Ok(_)) => Ok(json!({})),
        Ok(Err(Refused::UnknownVisitor)) => Err(Code::NotFound.into()),
        Ok(Err(Refused::Engaged { .. })) => Err(Code::Engaged.into()),
        Ok(Err(Refused::OptedOut)) => Err(Code::OptedOut.into()),
        Err(_) => Err(Code::Unavailable.into()),
    };
    answer.answer(peers, staff, outcome);
}
