//! The scripts, as they stand in `scripts/`; each says in its head what it takes and gives.

use redis::Script;

pub(crate) struct Scripts {
    pub(crate) acquire: Script,
    pub(crate) renew: Script,
    pub(crate) reassert: Script,
    pub(crate) release: Script,
    pub(crate) heartbeat: Script,
    pub(crate) leave: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            acquire: Script::new(include_str!("../scripts/acquire.lua")),
            renew: Script::new(include_str!("../scripts/renew.lua")),
            reassert: Script::new(include_str!("../scripts/reassert.lua")),
            release: Script::new(include_str!("../scripts/release.lua")),
            heartbeat: Script::new(include_str!("../scripts/heartbeat.lua")),
            leave: Script::new(include_str!("../scripts/leave.lua")),
        }
    }
}
