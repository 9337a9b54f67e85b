//! What goes wrong.

use usher_domain::ownership::keeping::Word;

use crate::servers::Redis;
use crate::thing::Thing;
use crate::world::{ENDS_AFTER, LEASE, OldCopies, World};

impl World {
    pub(crate) fn fault(&mut self) {
        let pause = self.random.between(200, 6_000);
        self.put(pause, Thing::Fault);
        let at = self.random.index(self.nodes.len());
        let long = self.random.between(100, 3 * LEASE);
        let until = self.now + long;
        match self.random.below(16) {
            0 | 1 => self.nodes[at].paused_until = until,
            // Killed, and another in its place, which has to own what runs no more.
            2 => self.replace(at),
            3 => self.redis_cut = until,
            4 => self.store_cut = until,
            5 | 6 => self.redis = Redis::default(),
            7 => self.copy = self.redis.clone(),
            8 if self.old_copies != OldCopies::Never => {
                self.redis = self.copy.clone();
                self.old_copies = OldCopies::Took;
            }
            9 => self.nodes[at].wires.redis_cut = self.now + 2 * long,
            10 => self.lose_redis(),
            11 => self.nodes[at].wires.cut = until,
            12 => (self.redis_cut, self.store_cut) = (until, until),
            13 | 14 => self.nodes[at].wires.store_cut = until,
            _ => self.leave(at),
        }
    }

    /// For long, and then it is as it was, empty, or an old copy.
    fn lose_redis(&mut self) {
        let long = self.random.between(LEASE, 6 * LEASE);
        self.redis_cut = self.now + long;
        let acted = self.acting();
        self.put(long, Thing::RedisBack { acted });
        if self.random.chance(50) {
            self.redis = Redis::default();
        }
    }

    /// Unless it stands still, or does so already.
    pub(crate) fn leave(&mut self, at: usize) {
        if self.nodes[at].is_paused(self.now) || self.nodes[at].leaves {
            return;
        }
        self.nodes[at].leaves = true;
        let of = self.nodes[at].name;
        self.tell(of, Word::Leave);
        self.put(ENDS_AFTER, Thing::Ends { of });
    }
}
