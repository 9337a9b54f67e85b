//! A running Usher with generated settings: the real program as a child process, its data in a
//! directory of its own, and the people who sit at its sockets.

pub(crate) mod answers;
mod child;
mod provider;
pub mod shim;
mod shop;
mod staff;

pub use child::{Binary, House, Node, free_port};
pub use provider::{Provider, Sent};
pub use shop::{Channel, Group, PASSWORD, PLATFORM_SECRET, Shop, WEBHOOK_SECRET};
pub use staff::{Desk, Desks};
