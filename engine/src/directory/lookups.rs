//! Questions to the directory that others ask: who is this, and whom do we write to first.

use std::sync::Arc;

use actix::prelude::*;
use usher_domain::visitor::Visitor;

use super::{Directory, Meet, Unheard, WhoIs};
use crate::channel::OpenFor;
use crate::inbound::Sender;

impl Handler<WhoIs> for Directory {
    type Result = Option<Arc<Visitor>>;

    fn handle(&mut self, WhoIs(visitor): WhoIs, _: &mut Context<Self>) -> Self::Result {
        self.load_by_id(visitor);
        self.people.visitor(visitor).cloned()
    }
}

impl Handler<Meet> for Directory {
    type Result = Option<Arc<Visitor>>;

    fn handle(&mut self, Meet { wa_id, channel }: Meet, _: &mut Context<Self>) -> Self::Result {
        let sender = Sender { wa_id: Some(wa_id), ..Sender::default() };
        self.identify(channel, &sender)
    }
}

impl Handler<Unheard> for Directory {
    type Result = ();

    fn handle(&mut self, Unheard { channel, visitor, waited }: Unheard, _: &mut Context<Self>) {
        self.load_by_id(visitor);
        if let Some(visitor) = self.people.visitor(visitor).cloned() {
            self.channel(channel, OpenFor { visitor, waited });
        }
    }
}
