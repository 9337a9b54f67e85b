//! 360dialog's WhatsApp API: what its webhooks mean, what may be sent, and what its answers ask for.
//!
//! * [`inbound`] reads webhook bodies. It is pure and never loses a message to its neighbour.
//! * [`outbound`] builds messages and refuses what the provider would refuse.
//! * [`errors`] turns every form of failure into a class that says what to do next.
//! * [`client`] talks to the provider. The TLS provider is the program's choice: it must install one
//!   (`rustls::crypto::ring::default_provider().install_default()`) before [`client::Http::new`].
//! * [`signature`] checks who sent a webhook, in constant time.
//! * [`media`] holds the provider's table of media types and sizes.

pub mod client;
pub mod errors;
pub mod inbound;
mod json;
pub mod media;
pub mod outbound;
mod phone;
pub mod signature;
