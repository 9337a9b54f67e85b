//! A Bloom filter that grows: ten bits an id, under one false yes in a hundred per block.

/// Ids of the first block; each further one holds [`GROWTH`] times as many.
const FIRST: u32 = 4096;
const GROWTH: u32 = 4;

/// 22 million ids a day; beyond that the last block is overfull and says yes more often.
const BLOCKS_MAX: usize = 7;

const BITS_PER_ID: u64 = 10;

/// The best number of bits to set at ten bits an id (10 · ln 2).
const PROBES: u64 = 7;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Filter {
    pub(super) blocks: Vec<Block>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Block {
    pub(super) capacity: u32,
    pub(super) count: u32,
    pub(super) bits: Vec<u64>,
}

impl Filter {
    pub(super) fn add(&mut self, id: &str) {
        let full = self.blocks.last().is_none_or(|block| block.count >= block.capacity);
        if full && self.blocks.len() < BLOCKS_MAX {
            let capacity = self.blocks.last().map_or(FIRST, |block| block.capacity * GROWTH);
            self.blocks.push(Block::new(capacity));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.add(id);
        }
    }

    pub(super) fn may_hold(&self, id: &str) -> bool {
        let hashes = hashes(id);
        self.blocks.iter().any(|block| block.may_hold(hashes))
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bits.len() * size_of::<u64>()).sum()
    }
}

impl Block {
    fn new(capacity: u32) -> Self {
        Self { capacity, count: 0, bits: vec![0; Self::words(capacity)] }
    }

    /// Words of a block; what a file states is checked against it.
    pub(super) fn words(capacity: u32) -> usize {
        usize::try_from((u64::from(capacity) * BITS_PER_ID).div_ceil(64)).unwrap_or(usize::MAX)
    }

    fn add(&mut self, id: &str) {
        for (word, mask) in self.places(hashes(id)) {
            self.bits[word] |= mask;
        }
        self.count = self.count.saturating_add(1);
    }

    fn may_hold(&self, hashes: (u64, u64)) -> bool {
        self.places(hashes).all(|(word, mask)| self.bits[word] & mask != 0)
    }

    fn places(&self, (first, step): (u64, u64)) -> impl Iterator<Item = (usize, u64)> + use<> {
        let words = self.bits.len();
        let bits = words as u64 * 64;
        (0..PROBES).map(move |probe| {
            let bit = first.wrapping_add(probe.wrapping_mul(step)) % bits;
            (usize::try_from(bit / 64).unwrap_or(0) % words, 1 << (bit % 64))
        })
    }
}

/// Two independent hashes, the same in every version of the program: FNV-1a, then mixed.
fn hashes(id: &str) -> (u64, u64) {
    let fnv = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (mixed(fnv), mixed(fnv ^ 0x9e37_79b9_7f4a_7c15) | 1)
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
const fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_was_added_and_rarely_more() {
        let mut filter = Filter::default();
        for number in 0..100_000 {
            filter.add(&format!("wamid.{number}"));
        }
        assert!((0..100_000).all(|number| filter.may_hold(&format!("wamid.{number}"))));
        let wrong = (0..100_000).filter(|number| filter.may_hold(&format!("other.{number}")));
        assert!(wrong.count() < 4_000, "four blocks, under one in a hundred each");
        assert!(filter.bytes() < 500_000, "{}", filter.bytes());
    }
}
