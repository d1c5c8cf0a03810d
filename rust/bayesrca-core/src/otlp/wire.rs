//! The protocol buffers wire format: fields one after the other, nothing copied.

use crate::error::Error;

/// Nested groups that may be skipped; OTLP has none, so only foreign fields can hold one.
const MAX_GROUPS: usize = 16;

/// What is wrong with a request, and at which of its bytes; small, for it is part of every result on the way.
#[derive(Debug)]
pub(super) struct Fault(Box<(usize, String)>);

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let (offset, message) = *fault.0;
        Self::Telemetry { offset, message }
    }
}

/// What is left of one message of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    request: &'a [u8],
    at: usize,
    end: usize,
}

/// The content of one field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(Message<'a>),
}

impl<'a> Message<'a> {
    /// A whole request.
    pub(super) fn new(request: &'a [u8]) -> Self {
        Self {
            request,
            at: 0,
            end: request.len(),
        }
    }

    /// Where it begins in the request, for errors.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The bytes that have not been read.
    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.request[self.at..self.end]
    }

    /// The next field's number and content, None at the end; groups are skipped.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>> {
        loop {
            if self.at == self.end {
                return Ok(None);
            }
            let begun = self.at;
            let (number, kind) = self.tag()?;
            let wire = match kind {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
                2 => Wire::Bytes(self.prefixed()?),
                5 => {
                    self.array::<4>()?;
                    Wire::Fixed32
                }
                _ => {
                    self.skip_other(number, kind, begun)?;
                    continue;
                }
            };
            return Ok(Some((number, wire)));
        }
    }

    /// The next varint of a packed field, None at the end.
    pub(super) fn next_varint(&mut self) -> Result<Option<u64>> {
        (self.at < self.end).then(|| self.varint()).transpose()
    }

    /// The next value of a packed field of eight bytes each, None at the end.
    pub(super) fn next_fixed64(&mut self) -> Result<Option<u64>> {
        (self.at < self.end)
            .then(|| self.array().map(u64::from_le_bytes))
            .transpose()
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u32)> {
        let begun = self.at;
        let tag = self.varint()?;
        let Ok(tag) = u32::try_from(tag) else {
            return Err(malformed(begun, "a field's number is too large"));
        };
        if tag >> 3 == 0 {
            return Err(malformed(begun, "a field's number is 0"));
        }
        Ok((tag >> 3, tag & 7))
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64> {
        match self.bytes() {
            [byte, ..] if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            [low, high, ..] if *high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64> {
        let bytes = self.bytes();
        let mut value = 0_u64;
        for (i, &byte) in bytes.iter().take(10).enumerate() {
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        let what = if bytes.len() < 10 {
            "the message ends within a number"
        } else {
            "a number is longer than 64 bits"
        };
        Err(malformed(self.at, what))
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(array) = self.bytes().first_chunk() else {
            return Err(malformed(self.at, "the message ends within a number"));
        };
        self.at += N;
        Ok(*array)
    }

    #[inline(always)]
    fn prefixed(&mut self) -> Result<Self> {
        let begun = self.at;
        let length = self.varint()?;
        let left = self.end - self.at;
        if length > left as u64 {
            return Err(too_long(begun, length, left));
        }
        let at = self.at;
        self.at += length as usize;
        Ok(Self {
            request: self.request,
            at,
            end: self.at,
        })
    }

    #[cold]
    fn skip_other(&mut self, number: u32, kind: u32, begun: usize) -> Result<()> {
        match kind {
            3 => self.skip_group(number, begun, 1),
            4 => Err(malformed(begun, "a group ends that has not begun")),
            _ => Err(malformed(begun, "there is no such wire type")),
        }
    }

    fn skip_group(&mut self, number: u32, begun: usize, depth: usize) -> Result<()> {
        if depth > MAX_GROUPS {
            return Err(malformed(begun, "groups are nested too deeply"));
        }
        while self.at < self.end {
            let at = self.at;
            let (inner, kind) = self.tag()?;
            match kind {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.prefixed()?),
                3 => self.skip_group(inner, at, depth + 1)?,
                4 if inner == number => return Ok(()),
                5 => drop(self.array::<4>()?),
                _ => self.skip_other(inner, kind, at)?,
            }
        }
        Err(malformed(begun, "a group does not end"))
    }
}

#[cold]
fn too_long(begun: usize, length: u64, left: usize) -> Fault {
    malformed(
        begun,
        format!("a field of {length} bytes begins {left} bytes before the end"),
    )
}

/// An error about the byte of the request at an offset.
#[cold]
pub(super) fn malformed(offset: usize, message: impl Into<String>) -> Fault {
    Fault(Box::new((offset, message.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Result<Option<(u32, Wire<'_>)>> {
        Message::new(bytes).next()
    }

    fn offset(bytes: &[u8]) -> usize {
        match first(bytes) {
            Err(fault) => fault.0.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_of_every_length_are_read() {
        for value in [0_u64, 1, 127, 128, 300, 1 << 35, u64::MAX] {
            let mut bytes = vec![8];
            let mut rest = value;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            let Ok(Some((1, Wire::Varint(read)))) = first(&bytes) else {
                panic!("{bytes:?}");
            };
            assert_eq!(read, value);
        }
    }

    #[test]
    fn errors_name_the_byte() {
        assert_eq!(offset(&[0x08]), 1); // no value
        assert_eq!(offset(&[0x08, 0xff]), 1); // a number that does not end
        assert_eq!(offset(&[0x00, 0x01]), 0); // field 0
        assert_eq!(offset(&[0x0e]), 0); // wire type 6
        assert_eq!(offset(&[0x0a, 0x05, 0x01]), 1); // longer than what is left
        assert_eq!(offset(&[0x0c]), 0); // the end of no group
        let long = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
        assert_eq!(offset(&long), 1); // 65 bits
    }

    #[test]
    fn groups_are_skipped() {
        let bytes = [0x0b, 0x10, 0x01, 0x13, 0x14, 0x0c, 0x18, 0x07];
        let Ok(Some((3, Wire::Varint(7)))) = first(&bytes) else {
            panic!();
        };
        assert_eq!(offset(&[0x0b, 0x10, 0x01]), 0);
        assert_eq!(offset(&[0x0b; 40]), MAX_GROUPS);
    }
}
