//! Decides from when until when a node may act for a service.
//!
//! | state | acts | enters by | leaves by |
//! |---|---|---|---|
//! | Standing by | no | the start; a lease that was not had; what ran has stopped | its time to ask → Acquiring |
//! | Acquiring | no | its time to ask, while the service is wanted | Acquired → Claiming; Held, no answer → Standing by |
//! | Claiming | no | the lease is had | Claimed → Owning; refused, lease over → Standing by |
//! | Owning | **yes** | the store has taken the epoch | given up → Handing over; lease over, superseded → Stopping |
//! | Handing over | **yes** | given up in order | stopped → Standing by, all released; lease over, superseded → Stopping |
//! | Stopping | no | the lease is over before what runs has stopped | stopped → Standing by |
//!
//! A lease is counted from when it was *asked for*, on the node's own clock, and shorter than Redis
//! counts it, so that the node has let go before another can be granted it:
//!
//! ```text
//! node    asked                renewed                             stops acting
//!           |---- a third ----->|------------- hold ------------------->|  margin, drift
//! Redis       |------------------ lease -->     |------------------ lease -------------->|
//!             granted                           granted again                        free |
//! ```
//!
//! **Where Redis does not say so, the store does.** Who owns and is not renewed, for whatever reason, asks the
//! store to hold the service for it: for a lease's length nobody else can claim it then. That is counted, and
//! asked for again, as a lease is; ten times a lease Redis is told besides, and once it has heard, the lease
//! is Redis's again. Only the hold's failing, or a newer epoch in the store, ends it:
//!
//! ```text
//! renew ──nothing, or none──► hold ──held──► reassert ──heard──► renew, as ever
//!   ▲                          │ nothing         │ nothing
//!   └──────── a pause ─────────┘                 └──► hold every third, reassert every tenth
//! ```
//!
//! - **H1** Who asks for a lease reads the store *after* the instant its lease counts from, and asks Redis
//!   for nothing that is held. So whatever Redis has granted beside a hold is over before the hold is: a
//!   reassertion may put any lease aside that it finds.
//! - **H2** Nobody takes a hold back before what runs has stopped: such a word could come late, after the
//!   next hold. Once Redis has the lease again, the last hold lapses by itself.
//! - **H3** An owner whom only Redis cannot reach goes on; it is not made to hand over. Whether Redis is away
//!   for itself alone or for all it cannot know, and to go on costs nobody a reconnection.
//!
//! **Who stands by** asks the store and Redis, and so hears whose the service is. Of all those one has to ask
//! often, the first in the draw beside the owner: each that comes after it asks four times as seldom as the
//! one before it. Everybody asks as often as the first where something is wrong:
//!
//! - **W1** in doubt, since the owner did not answer, or said that it is not the owner;
//! - **W2** of a lease that has less left than one that is renewed in time ever has;
//! - **W3** once those before it live no more, and it is the first.
//!
//! Then, too, the first asks for what has come free a pause before the second, so that of several that wait one
//! has it at once, who should have it.
//!
//! A lease that was granted and not claimed is not given back: it may be the only thing that keeps others
//! away from a service whose owner Redis has forgotten.
//!
//! A Redis that has gone back in time shows it: it knows an older epoch than the store, and then grants
//! nothing for a lease's length, until whatever it had granted before is over; or no lease where one
//! should be (Missing), and who holds it in the store has it set again.

mod command;
mod machine;
#[cfg(test)]
mod properties;
mod terms;
#[cfg(test)]
mod tests;

pub use command::{Answer, Ask, Command, Effect, Refusal, Why};
pub use machine::{Lease, Stage};
pub use terms::Terms;
