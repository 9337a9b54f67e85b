//! The agent socket: who may open it, and what passes through it in both directions.
//!
//! Everything that is special to WebSockets is in here. The [session](session) is an actor that decides; the
//! [wire](wire) it runs with moves its bytes, past the HTTP library: no more is heard than is answered, and
//! the [feed](feed) is pulled only when all before is written, so that what somebody who has stopped
//! reading holds is bounded by one batch. Whether a connection lives is judged by the service.

mod feed;
mod hello;
mod input;
mod origin;
mod outbox;
mod pace;
mod pieces;
mod push;
mod registry;
mod session;
mod upgrade;
mod wire;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use usher_config::Config;
use usher_domain::ids::{ServiceId, SessionId, StaffId};
use usher_engine::{Clock, ConnectionId, Engine};

use crate::accounts::People;
use origin::Origins;
use registry::Registry;

/// The path of the socket.
pub(crate) const PATH: &str = "/v1/agent/socket";

/// All agent sockets of the program; cheap to clone.
#[derive(Clone)]
pub(crate) struct Sockets {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    people: People,
    origins: Origins,
    limits: Limits,
    clock: Clock,
    registry: Registry,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes.
    frame_max: usize,
    per_second: u32,
    burst: u32,
    connections_per_staff: usize,
}

/// One connection, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Member {
    service: ServiceId,
    staff: StaffId,
    session: SessionId,
    connection: ConnectionId,
}

impl Sockets {
    pub(crate) fn new(engine: Engine, people: People, config: &Config) -> Self {
        let limits = Limits {
            frame_max: config.limits.frame_max,
            per_second: config.limits.commands_per_second,
            burst: config.limits.commands_burst,
            connections_per_staff: usize::try_from(config.limits.connections_per_staff)
                .unwrap_or(usize::MAX),
        };
        let origins = Origins::new(config.http.allowed_origins.clone());
        let registry = Registry::default();
        let clock = Clock::system();
        Self { shared: Arc::new(Shared { engine, people, origins, limits, clock, registry }) }
    }

    /// Answers those at [`PATH`] who ask for no upgrade.
    pub(crate) fn routes(config: &mut ServiceConfig) {
        config.route(PATH, web::get().to(upgrade::not_upgraded));
    }

    /// Tells every client to come back a little later, and takes no new ones.
    pub(crate) fn stop(&self) {
        self.shared.registry.stop();
    }
}
