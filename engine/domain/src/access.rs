//! Decides who may see what and who may do what: for feed, snapshot, REST, media and search alike.
//!
//! | | sees |
//! |---|---|
//! | agent | own and joined rooms whole; heads of what is offered to them, and of what waits or is Missed in their groups; earlier enquiries of a visitor they serve, read-only; what was said while they owned it |
//! | supervisor | besides, all of the groups set over whole |
//! | administrator | everything whole |
//!
//! What is not theirs to see answers exactly as what does not exist. Whether the enquiry's state
//! allows an action is not decided here but by the machines.

use crate::floor::place::Stage;
use crate::ids::{ChannelId, GroupId, StaffId};
use crate::settings::Role;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// Somebody who asks: a person, or an API key with its role and channels.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// `None`: an API key.
    pub staff: Option<StaffId>,
    pub role: Role,
    /// Groups a supervisor is set over; empty = all.
    pub supervises: &'a [GroupId],
    pub member_of: &'a [GroupId],
    /// Channels an API key is good for; `None` = all.
    pub channels: Option<&'a [ChannelId]>,
}

/// What access to a room depends on.
#[derive(Clone, Copy, Debug)]
pub struct RoomFacts<'a> {
    pub channel: ChannelId,
    pub standing: Standing,
    /// Of a closed enquiry: the last one.
    pub owner: Option<StaffId>,
    /// Colleagues added, and supervisors who joined.
    pub joined: &'a [StaffId],
    pub offered_to: &'a [StaffId],
    /// Were offered it in this walk and no longer are: they hear from the floor how it ended.
    pub offered_before: &'a [StaffId],
    /// Groups behind the destinations of its walk or transfer, and the owner's.
    pub groups: &'a [GroupId],
    /// Who began the transfer under way.
    pub transferred_by: Option<StaffId>,
    /// Who owned it or had joined before, and until when.
    pub former: &'a [(StaffId, Timestamp)],
    /// Who owns or joined a live enquiry of the same visitor.
    pub serving_visitor: &'a [StaffId],
}

/// An enquiry's state, as far as access depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Open.
    Waiting,
    /// Ongoing or Followed-up, or with a bot.
    Handled,
    Missed,
    Closed,
}

impl From<Stage> for Standing {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Open => Self::Waiting,
            Stage::Ongoing { .. } | Stage::WithBot { .. } | Stage::FollowedUp { .. } => {
                Self::Handled
            }
            Stage::Missed { .. } => Self::Missed,
        }
    }
}

/// How much of a room somebody sees, from all to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// All of it, and what comes.
    Whole,
    /// An earlier enquiry.
    ReadOnly,
    /// What was said until then.
    ReadOnlyUntil(Timestamp),
    /// Visitor's name, channel and first message.
    Head,
    Nothing,
}

impl Sight {
    /// Whether a message, or a file in it, of this time is seen.
    pub fn shows(self, at: Timestamp) -> bool {
        match self {
            Self::Whole | Self::ReadOnly => true,
            Self::ReadOnlyUntil(until) => at <= until,
            Self::Head | Self::Nothing => false,
        }
    }
}

/// What somebody wants to do, and to what.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    InRoom(InRoom, &'a RoomFacts<'a>),
    /// To write first on a channel.
    Start {
        channel: ChannelId,
        allowed: &'a [StaffId],
    },
    /// To set a colleague's presence, who is a member of these groups.
    SetPresenceOf {
        member_of: &'a [GroupId],
    },
    /// To switch a rule's emergency branch.
    Emergency,
    /// To assign or close many at once; each enquiry is asked for besides.
    Bulk,
    Explain,
    Administer(Administer),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum InRoom {
    Send,
    Note,
    Label,
    Read,
    Typing,
    SetLanguage,
    OptOut,
    Leave,
    Close,
    Transfer,
    CancelTransfer,
    Hold,
    AddStaff,
    RemoveStaff,
    PickUp,
    Decline,
    TakeOver,
    Assign,
    Join,
    Monitor,
    Block,
    History,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Administer {
    Settings,
    Bindings,
    Keys,
    Audit,
    Erasure,
}

/// How a denial is answered.
#[expect(clippy::enum_variant_names, reason = "called as the codes they are answered with")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// `not_found`: not theirs to see, exactly as what does not exist.
    NotFound,
    /// `not_owner`: seen, but not theirs to act on.
    NotOwner,
    /// `not_offered`: seen, but not held out to them.
    NotOffered,
}

/// How much of a room the viewer sees.
pub fn sight(viewer: &Viewer<'_>, room: &RoomFacts<'_>) -> Sight {
    if viewer.channels.is_some_and(|channels| !channels.contains(&room.channel)) {
        return Sight::Nothing;
    }
    if viewer.serves(room) || viewer.supervises(room.groups) {
        return Sight::Whole;
    }
    let Some(staff) = viewer.staff else {
        return Sight::Nothing;
    };
    if room.standing == Standing::Closed && room.serving_visitor.contains(&staff) {
        return Sight::ReadOnly;
    }
    if let Some(until) = until(room, staff) {
        return Sight::ReadOnlyUntil(until);
    }
    let waits = matches!(room.standing, Standing::Waiting | Standing::Missed);
    if room.offered_to.contains(&staff) || (waits && meet(viewer.member_of, room.groups)) {
        return Sight::Head;
    }
    Sight::Nothing
}

/// Whether the viewer may do it.
pub fn may(viewer: &Viewer<'_>, action: Action<'_>) -> Result<(), Denied> {
    let allowed = match action {
        Action::InRoom(action, room) => return may_in_room(viewer, action, room),
        Action::Start { channel, allowed } => {
            viewer.staff.is_some_and(|staff| allowed.contains(&staff))
                && viewer.is_good_for(channel)
        }
        Action::SetPresenceOf { member_of } => viewer.supervises(member_of),
        Action::Emergency | Action::Bulk | Action::Explain => viewer.role >= Role::Supervisor,
        Action::Administer(_) => viewer.role == Role::Administrator,
    };
    if allowed { Ok(()) } else { Err(Denied::NotFound) }
}

fn may_in_room(viewer: &Viewer<'_>, action: InRoom, room: &RoomFacts<'_>) -> Result<(), Denied> {
    let answers_offer = matches!(action, InRoom::PickUp | InRoom::Decline);
    if answers_offer && viewer.is_among(room.offered_before) {
        return Ok(());
    }
    match sight(viewer, room) {
        Sight::Nothing => Err(Denied::NotFound),
        sight if is_theirs(viewer, action, room, sight) => Ok(()),
        _ if answers_offer => Err(Denied::NotOffered),
        _ => Err(Denied::NotOwner),
    }
}

/// Whether what the viewer is to a room they see allows the action.
fn is_theirs(viewer: &Viewer<'_>, action: InRoom, room: &RoomFacts<'_>, sight: Sight) -> bool {
    let owns = viewer.is(room.owner);
    let serves = viewer.serves(room);
    let supervises = viewer.supervises(room.groups);
    let offered = viewer.is_among(room.offered_to);
    let takes_up_missed =
        room.standing == Standing::Missed && (supervises || meet(viewer.member_of, room.groups));
    match action {
        // Sending to a missed enquiry takes it up.
        InRoom::Send => serves || takes_up_missed,
        InRoom::Note | InRoom::Label | InRoom::Read | InRoom::Typing => serves,
        InRoom::SetLanguage | InRoom::OptOut => serves || supervises,
        InRoom::Leave => viewer.is_among(room.joined),
        InRoom::Close
        | InRoom::Transfer
        | InRoom::Hold
        | InRoom::AddStaff
        | InRoom::RemoveStaff => owns || supervises,
        InRoom::CancelTransfer => owns || supervises || viewer.is(room.transferred_by),
        InRoom::PickUp => offered || takes_up_missed,
        InRoom::Decline => offered,
        InRoom::TakeOver | InRoom::Assign | InRoom::Join | InRoom::Monitor | InRoom::Block => {
            supervises
        }
        InRoom::History => sight != Sight::Head,
    }
}

/// Until when somebody was part of the room who no longer is.
fn until(room: &RoomFacts<'_>, staff: StaffId) -> Option<Timestamp> {
    room.former.iter().filter(|(former, _)| *former == staff).map(|&(_, until)| until).max()
}

fn meet(some: &[GroupId], others: &[GroupId]) -> bool {
    some.iter().any(|group| others.contains(group))
}

impl Viewer<'_> {
    fn is(&self, staff: Option<StaffId>) -> bool {
        self.staff.is_some() && self.staff == staff
    }

    fn is_among(&self, staff: &[StaffId]) -> bool {
        self.staff.is_some_and(|own| staff.contains(&own))
    }

    fn is_good_for(&self, channel: ChannelId) -> bool {
        self.channels.is_none_or(|channels| channels.contains(&channel))
    }

    /// The owner, or joined.
    fn serves(&self, room: &RoomFacts<'_>) -> bool {
        self.is(room.owner) || self.is_among(room.joined)
    }

    /// Set over what belongs to these groups.
    fn supervises(&self, groups: &[GroupId]) -> bool {
        match self.role {
            Role::Agent => false,
            Role::Supervisor => self.supervises.is_empty() || meet(self.supervises, groups),
            Role::Administrator => true,
        }
    }
}
