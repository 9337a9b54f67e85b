//! What the floor is told, what it answers, and what has to be done about it.

use std::sync::Arc;

use thiserror::Error;

use super::event::{Closer, FloorEvent, PresenceWhy, TransferTo};
use crate::ids::{ChannelId, EnquiryId, StaffId};
use crate::presence::Presence;
use crate::record::After;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::visitor::Visitor;

/// Something the floor is told.
#[derive(Clone, Debug)]
pub enum Command {
    /// A new enquiry has to find somebody.
    Route(Box<Route>),
    /// A visitor's counted message joined a live enquiry.
    VisitorWrote {
        enquiry: EnquiryId,
        opens: bool,
        window_until: Timestamp,
    },
    /// Staff or a bot answered.
    WeWrote {
        enquiry: EnquiryId,
    },
    PickUp {
        enquiry: EnquiryId,
        staff: StaffId,
    },
    Decline {
        enquiry: EnquiryId,
        staff: StaffId,
    },
    Transfer {
        enquiry: EnquiryId,
        by: StaffId,
        to: TransferTo,
        blind: bool,
    },
    CancelTransfer {
        enquiry: EnquiryId,
        by: StaffId,
    },
    Assign {
        enquiry: EnquiryId,
        to: StaffId,
    },
    TakeOver {
        enquiry: EnquiryId,
        by: StaffId,
    },
    Hold {
        enquiry: EnquiryId,
        by: StaffId,
        until: Option<Timestamp>,
    },
    Close {
        enquiry: EnquiryId,
        by: Closer,
        silent: bool,
        reason: Option<String>,
    },
    /// The visitor's language or country became known.
    Known {
        enquiry: EnquiryId,
        language: Option<Box<str>>,
        country: Option<Box<str>>,
    },
    BotLeft {
        enquiry: EnquiryId,
        failed: bool,
    },
    /// Signs out and lets others take what they own.
    HandOver {
        staff: StaffId,
    },
    Presence {
        staff: StaffId,
        presence: Presence,
        why: PresenceWhy,
    },
    /// Between connections: nothing new is offered, open offers stay.
    Reloading {
        staff: StaffId,
        on: bool,
    },
    Settings(Arc<Settings>),
}

/// What is known when an enquiry is opened.
#[derive(Clone, Debug)]
pub struct Route {
    pub enquiry: EnquiryId,
    pub channel: ChannelId,
    pub visitor: Visitor,
    pub country: Option<Box<str>>,
    pub window_until: Timestamp,
    /// The opening message precedes the last closing: straight to the last owner if possible.
    pub delayed: bool,
    /// Wrote while the channel opened nothing, and the window has lapsed since: missed at once.
    pub lapsed: bool,
}

/// What has to be done, in order. One turn's effects are one record group.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Happened(FloorEvent),
    /// The newest state of something that outlives a restart.
    Keep(After),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("there is no such live enquiry")]
    NotFound,
    #[error("somebody else was first")]
    AlreadyTaken,
    #[error("it was picked up on another of your devices")]
    Elsewhere,
    #[error("it is not on offer to you")]
    NotOffered,
    #[error("this would exceed the capacity")]
    AtCapacity,
    #[error("only its owner may do this")]
    NotOwner,
    #[error("a transfer is already on offer")]
    TransferPending,
    #[error("nobody there is available")]
    NobodyAvailable,
}
