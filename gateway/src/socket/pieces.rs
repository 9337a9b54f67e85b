//! Puts a message together that came in pieces (RFC 6455 §5.4), up to the size of one frame.

use bytes::Bytes;
use bytestring::ByteString;
use usher_protocol::FRAME_BYTES_MAX;
use usher_protocol::close::Close;

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    text: Vec<u8>,
}

impl Pieces {
    pub(super) fn begin(&mut self, piece: &Bytes) -> Result<(), Close> {
        self.text.clear();
        self.go_on(piece)
    }

    pub(super) fn go_on(&mut self, piece: &Bytes) -> Result<(), Close> {
        if self.text.len() + piece.len() > FRAME_BYTES_MAX {
            self.text = Vec::new();
            return Err(Close::TooLarge);
        }
        self.text.extend_from_slice(piece);
        Ok(())
    }

    pub(super) fn end(&mut self, piece: &Bytes) -> Result<ByteString, Close> {
        self.go_on(piece)?;
        let text = Bytes::from(std::mem::take(&mut self.text));
        ByteString::try_from(text).map_err(|_| Close::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_may_be_cut_inside_a_character() {
        let bytes = "Grüß".as_bytes();
        let mut pieces = Pieces::default();
        pieces.begin(&Bytes::copy_from_slice(&bytes[..3])).unwrap();
        pieces.go_on(&Bytes::new()).unwrap();
        assert_eq!(pieces.end(&Bytes::copy_from_slice(&bytes[3..])).unwrap(), "Grüß");
        pieces.begin(&Bytes::from_static(b"x")).unwrap();
        assert_eq!(pieces.end(&Bytes::from_static(&[0xff])), Err(Close::Malformed));
    }

    #[test]
    fn many_small_pieces_are_no_way_around_the_limit() {
        let mut pieces = Pieces::default();
        let piece = Bytes::from(vec![b'x'; 1024]);
        pieces.begin(&piece).unwrap();
        let taken = (1..100).take_while(|_| pieces.go_on(&piece).is_ok()).count();
        assert_eq!(taken, 63);
        assert_eq!(pieces.end(&Bytes::new()).unwrap(), "", "nothing of it is kept");
    }
}
