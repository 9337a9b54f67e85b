//! Decides from when until when a node may act for a service.
//!
//! | state | acts | enters by | leaves by |
//! |---|---|---|---|
//! | Standing by | no | the start; a lease that was not had; what ran has stopped | its time to ask → Acquiring |
//! | Acquiring | no | its time to ask, while the service is wanted | Acquired → Claiming; Held, no answer → Standing by |
//! | Claiming | no | the lease is had | Claimed → Owning; refused, lease over → Standing by |
//! | Owning | **yes** | the store has taken the epoch | given up → Handing over; lease over or lost, superseded → Stopping |
//! | Handing over | **yes** | given up in order | stopped → Standing by, the lease released; lease over, lost → Stopping |
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
//! A lease that was granted and not claimed is not given back: it may be the only thing that keeps others
//! away from a service whose owner Redis has forgotten.
//!
//! A Redis that has gone back in time shows it: it knows an older epoch than the store, and then grants
//! nothing for a lease's length, until whatever it had granted before is over; or no lease where one
//! should be (Missing), and who is still the store's owner has it set again.

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
