//! How nodes write webhooks to each other: several in one body, each with its length before it.

use actix_web::web::{BufMut as _, Bytes, BytesMut};
use usher_domain::ids::ChannelId;
use usher_domain::time::Timestamp;
use uuid::Uuid;

use super::ITEMS_MAX;
use crate::http::{Kept, Whole};

/// The first byte; another form would have another.
const FORM: u8 = 1;
const HEAD: usize = 2;
/// Channel, time and length.
const ITEM_HEAD: usize = 16 + 8 + 4;

/// Bytes of the longest answer.
pub(super) const ANSWER_MAX: usize = 1 + ITEMS_MAX;

/// Webhooks on their way to the owner.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Batch {
    /// The owner is to empty the inbox first: what stands there came before these.
    pub(super) after_inbox: bool,
    pub(super) all: Vec<Whole>,
}

/// What the owner says of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Heard {
    /// The inbox was emptied before, if that was asked for.
    pub(super) inbox_was_emptied: bool,
    /// One for each.
    pub(super) kept: Vec<Kept>,
}

/// The longest body of so many, where all but the last have so many bytes together.
pub(super) const fn most(items: usize, bytes: usize, last: usize) -> usize {
    HEAD + items * ITEM_HEAD + bytes + last
}

impl Batch {
    pub(super) fn written(&self) -> Vec<u8> {
        let bytes: usize = self.all.iter().map(|one| one.body.len()).sum();
        let mut out = Vec::with_capacity(most(self.all.len(), bytes, 0));
        out.extend([FORM, u8::from(self.after_inbox)]);
        for Whole { channel, received_at, body } in &self.all {
            out.put_slice(channel.uuid().as_bytes());
            out.put_u64(received_at.millis());
            out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
            out.put_slice(body);
        }
        out
    }

    /// `None`: it is not what another node writes.
    pub(super) fn read(mut bytes: Bytes) -> Option<Self> {
        let after_inbox = match *bytes.split_to_checked(HEAD)? {
            [FORM, 0] => false,
            [FORM, 1] => true,
            _ => return None,
        };
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let channel = bytes.split_to_checked(16)?;
            let received_at = u64::from_be_bytes((*bytes.split_to_checked(8)?).try_into().ok()?);
            let length = u32::from_be_bytes((*bytes.split_to_checked(4)?).try_into().ok()?);
            all.push(Whole {
                channel: ChannelId::new(Uuid::from_slice(&channel).ok()?),
                received_at: Timestamp::from_millis(received_at),
                body: bytes.split_to_checked(usize::try_from(length).ok()?)?,
            });
        }
        Some(Self { after_inbox, all })
    }
}

/// As `split_to`, which panics where there is less.
trait Checked: Sized {
    fn split_to_checked(&mut self, at: usize) -> Option<Self>;
}

impl Checked for Bytes {
    fn split_to_checked(&mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_to(at))
    }
}

impl Heard {
    pub(super) fn written(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.kept.len());
        out.put_u8(u8::from(self.inbox_was_emptied));
        out.extend(self.kept.iter().map(|kept| match kept {
            Kept::Durably => 0,
            Kept::NotNow => 1,
            Kept::Nowhere => 2,
        }));
        out.freeze()
    }

    /// `None`: it is not an answer to so many.
    pub(super) fn read(bytes: &[u8], sent: usize) -> Option<Self> {
        let (inbox, kept) = bytes.split_first()?;
        let kept = kept.iter().map(|kept| match kept {
            0 => Some(Kept::Durably),
            1 => Some(Kept::NotNow),
            2 => Some(Kept::Nowhere),
            _ => None,
        });
        let kept: Vec<Kept> = kept.collect::<Option<_>>()?;
        (kept.len() == sent).then_some(Self { inbox_was_emptied: *inbox == 1, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: u128, body: &'static [u8]) -> Whole {
        Whole {
            channel: ChannelId::from_number(number),
            received_at: Timestamp::from_millis(1_793_534_400_000),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn what_one_node_writes_another_reads() {
        let all = vec![whole(1, b"{}"), whole(2, b""), whole(1, b"\0\xff")];
        for after_inbox in [false, true] {
            let batch = Batch { after_inbox, all: all.clone() };
            let written = batch.written();
            assert_eq!(written.len(), most(3, 4, 0));
            assert_eq!(Batch::read(written.into()), Some(batch));
        }
        let kept = vec![Kept::Durably, Kept::NotNow, Kept::Nowhere];
        let heard = Heard { inbox_was_emptied: true, kept };
        assert_eq!(Heard::read(&heard.written(), 3), Some(heard.clone()));
        assert_eq!(Heard::read(&heard.written(), 2), None, "an answer to something else");
        assert_eq!((Heard::read(b"", 0), Heard::read(b"\x01\x03", 1)), (None, None));
    }

    #[test]
    fn what_is_cut_short_or_of_another_form_is_not_read() {
        let batch = Batch { after_inbox: false, all: vec![whole(1, b"12345"), whole(2, b"67")] };
        let written = Bytes::from(batch.written());
        let first = HEAD + ITEM_HEAD + 5;
        for end in 0..written.len() {
            let read = Batch::read(written.slice(..end));
            // Between two of them, it is a whole body of fewer.
            assert_eq!(read.is_some(), end == HEAD || end == first, "{end}");
        }
        let mut other = written.to_vec();
        other[0] = 2;
        assert_eq!(Batch::read(other.into()), None);
    }
}
