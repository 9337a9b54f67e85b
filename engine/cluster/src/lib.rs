//! The one door to Redis: leases of services, and which nodes live.
//!
//! What a lease means is decided in `usher_domain::ownership`; here its questions become scripts that
//! Redis runs whole, and what they gave becomes answers. Nothing beyond this crate knows Redis.

mod address;
mod error;
mod leases;
mod link;
pub mod metrics;
mod nodes;
mod scripts;

pub use address::{Address, BadAddress};
pub use error::RedisFailed;
pub use leases::{Heard, Leases};
pub use link::{Redis, RedisOptions};
pub use nodes::{NODES_MAX, Nodes};
