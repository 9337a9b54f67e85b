//! From bytes to frames: what may come in is judged by its header, before the rest is waited for.

use actix_http::ws::{Codec, Frame, ProtocolError};
use bytes::BytesMut;
use tokio_util::codec::Decoder as _;
use usher_protocol::close::Close;

/// RFC 6455 §5.5.
const CONTROL_BYTES_MAX: u64 = 125;

/// What has been read, as far as it is no whole frame yet. Between frames it holds no memory.
#[derive(Debug)]
pub(super) struct Input {
    bytes: BytesMut,
    codec: Codec,
    frame_max: usize,
}

impl Input {
    pub(super) fn new(bytes: BytesMut, frame_max: usize) -> Self {
        Self { bytes, codec: Codec::new().max_size(frame_max), frame_max }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame. After an error nothing of the rest can be understood.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Close> {
        self.judge()?;
        let frame = self.codec.decode(&mut self.bytes).map_err(|error| {
            tracing::debug!(%error, "a socket's frames make no sense");
            match error {
                ProtocolError::Overflow => Close::TooLarge,
                _ => Close::Malformed,
            }
        })?;
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        Ok(frame)
    }

    /// The header of the frame that comes next (RFC 6455 §5.2), if it is there.
    fn judge(&self) -> Result<(), Close> {
        let [first, second, rest @ ..] = &*self.bytes else { return Ok(()) };
        let length = match second & 0x7f {
            126 => rest.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))),
            127 => rest.first_chunk().map(|length| u64::from_be_bytes(*length)),
            short => Some(u64::from(short)),
        };
        let Some(length) = length else { return Ok(()) };
        let is_control = first & 0x08 != 0;
        if is_control && length > CONTROL_BYTES_MAX {
            return Err(Close::Malformed);
        }
        if length > self.frame_max as u64 { Err(Close::TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame with `length` bytes of payload.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65536 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(std::iter::repeat_n(0x81, length));
        bytes
    }

    fn input() -> Input {
        Input::new(BytesMut::new(), 65_536)
    }

    /// How many frames `bytes` hold, given in pieces of `cut`.
    fn frames(bytes: &[u8], cut: usize) -> Result<usize, Close> {
        let (mut input, mut frames) = (input(), 0);
        for piece in bytes.chunks(cut) {
            input.add(piece);
            while input.next()?.is_some() {
                frames += 1;
            }
        }
        assert_eq!(input.bytes.capacity(), 0, "nothing is held between frames");
        Ok(frames)
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let lengths = [0, 1, 125, 126, 700, 65_535, 0, 65_536];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(0x82, *length)).collect();
        for cut in [1, 2, 3, 7, 1_000, bytes.len()] {
            assert_eq!(frames(&bytes, cut), Ok(8), "cut every {cut}");
        }
    }

    #[test]
    fn too_large_is_known_from_the_header_alone() {
        let after = |bytes: &[u8]| {
            let mut input = input();
            input.add(bytes);
            input.next().map(|frame| frame.is_some())
        };
        let header = |first, length| frame(first, length).into_iter().take(10).collect::<Vec<_>>();
        assert_eq!(after(&header(0x81, 65_536)), Ok(false));
        assert_eq!(after(&header(0x81, 65_537)), Err(Close::TooLarge));
        for control in [0x88, 0x89, 0x8a] {
            assert_eq!(after(&header(control, 125)), Ok(false));
            assert_eq!(after(&header(control, 126)), Err(Close::Malformed));
        }
        assert_eq!(after(&frame(0x09, 1)), Err(Close::Malformed), "a control frame in pieces");
        assert_eq!(after(&[0x81, 1, b'x']), Err(Close::Malformed), "not masked");
    }
}
