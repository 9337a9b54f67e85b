//! Whether the owner has said goodbye: the one thing that is seen of what passes to an agent.

/// FIN and three reserved bits beside the kind of a frame.
const KIND: u8 = 0x0f;
const CLOSE: u8 = 0x08;
const MASKED: u8 = 0x80;

/// Follows the frames of a server through their bytes, however these are cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Of a frame's head, as far as it has come; at most 14 bytes.
    head: Vec<u8>,
    /// Of what it holds.
    left: u64,
    closes: bool,
}

impl Frames {
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let some = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= some as u64;
                bytes = bytes.get(some..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if let Some(length) = length(&self.head) {
                self.closes |= self.head.first().is_some_and(|first| first & KIND == CLOSE);
                self.left = length;
                self.head.clear();
            }
        }
    }

    /// Nothing of a frame is outstanding.
    pub(super) fn are_whole(&self) -> bool {
        self.head.is_empty() && self.left == 0
    }

    pub(super) const fn have_closed(&self) -> bool {
        self.closes
    }
}

/// What a frame holds (bytes), once its head is whole.
fn length(head: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = head else { return None };
    let (extended, mask) = (rest, if second & MASKED == 0 { 0 } else { 4 });
    let (wide, length) = match second & !MASKED {
        126 => (2, extended.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes)))?),
        127 => (8, extended.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))?),
        short => (0, u64::from(short)),
    };
    (extended.len() == wide + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Bytes that would close, were they a head.
        frame.resize(frame.len() + length, 0x88);
        frame
    }

    #[test]
    fn a_close_is_seen_and_nothing_else_is_taken_for_one() {
        let lengths = [0, 1, 125, 126, 300, 65_535, 65_536, 100_000];
        let talk: Vec<u8> = lengths
            .iter()
            .flat_map(|length| [frame(0x81, *length), frame(0x89, 4)])
            .flatten()
            .collect();
        for cut in [1, 2, 3, 7, 1_000, 4_096, usize::MAX] {
            let mut frames = Frames::default();
            talk.chunks(cut.min(talk.len())).for_each(|some| frames.pass(some));
            assert!(!frames.have_closed(), "in pieces of {cut}");
            frame(0x88, 2).chunks(cut.min(2)).for_each(|some| frames.pass(some));
            assert!(frames.have_closed(), "in pieces of {cut}");
        }
    }
}
