//! `AnyValue`: plain values as they are, nested ones as JSON.

use std::fmt::Write as _;

use super::intern::Interner;
use super::wire::{Message, Result, Wire, malformed};

/// The value of an attribute or the body of a log record; texts by their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Nothing was set.
    Empty,
    /// A text.
    Text(u32),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes, as lower-case hexadecimal digits.
    Bytes(u32),
    /// A list or map, as JSON: bytes in it are hexadecimal, NaN and the infinities are texts.
    Json(u32),
}

/// A value on the way: fields of one message that come twice are merged as protocol buffers say.
enum Node<'a> {
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    List(Vec<Node<'a>>),
    Map(Vec<(&'a [u8], Node<'a>)>),
}

/// A value that is filled by one message or several.
pub(super) struct Reading<'a> {
    node: Node<'a>,
    depth: usize,
}

impl<'a> Reading<'a> {
    /// Nothing as yet; lists and maps may be nested up to `depth` times.
    pub(super) fn new(depth: usize) -> Self {
        Self {
            node: Node::Empty,
            depth,
        }
    }

    /// Read a message of it.
    pub(super) fn merge(&mut self, message: Message<'a>) -> Result<()> {
        merge(&mut self.node, message, self.depth)
    }

    /// The value, and how many of its texts were not UTF-8.
    pub(super) fn finish(self, interner: &mut Interner) -> (Value, u64) {
        let value = match self.node {
            Node::Empty => Value::Empty,
            Node::Text(bytes) => {
                let (id, valid) = interner.intern_bytes(bytes);
                return (Value::Text(id), u64::from(!valid));
            }
            Node::Bool(b) => Value::Bool(b),
            Node::Int(i) => Value::Int(i),
            Node::Double(d) => Value::Double(d),
            Node::Bytes(bytes) => {
                let mut text = String::with_capacity(2 * bytes.len());
                write_hex(&mut text, bytes);
                Value::Bytes(interner.intern(&text))
            }
            nested => {
                let (mut text, mut invalid) = (String::new(), 0);
                write_json(&mut text, &nested, &mut invalid);
                return (Value::Json(interner.intern(&text)), invalid);
            }
        };
        (value, 0)
    }
}

fn merge<'a>(node: &mut Node<'a>, mut message: Message<'a>, depth: usize) -> Result<()> {
    while let Some((number, wire)) = message.next()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => *node = Node::Text(text.bytes()),
            (2, Wire::Varint(v)) => *node = Node::Bool(v != 0),
            (3, Wire::Varint(v)) => *node = Node::Int(v.cast_signed()),
            (4, Wire::Fixed64(v)) => *node = Node::Double(f64::from_bits(v)),
            (5, Wire::Bytes(list)) => {
                let depth = deeper(depth, &list)?;
                if !matches!(node, Node::List(_)) {
                    *node = Node::List(Vec::new());
                }
                if let Node::List(items) = node {
                    merge_list(items, list, depth)?;
                }
            }
            (6, Wire::Bytes(map)) => {
                let depth = deeper(depth, &map)?;
                if !matches!(node, Node::Map(_)) {
                    *node = Node::Map(Vec::new());
                }
                if let Node::Map(items) = node {
                    merge_map(items, map, depth)?;
                }
            }
            (7, Wire::Bytes(bytes)) => *node = Node::Bytes(bytes.bytes()),
            _ => {}
        }
    }
    Ok(())
}

fn deeper(depth: usize, message: &Message<'_>) -> Result<usize> {
    depth
        .checked_sub(1)
        .ok_or_else(|| malformed(message.offset(), "a value is nested too deeply"))
}

fn merge_list<'a>(items: &mut Vec<Node<'a>>, mut message: Message<'a>, depth: usize) -> Result<()> {
    while let Some((number, wire)) = message.next()? {
        if let (1, Wire::Bytes(value)) = (number, wire) {
            let mut item = Node::Empty;
            merge(&mut item, value, depth)?;
            items.push(item);
        }
    }
    Ok(())
}

fn merge_map<'a>(
    items: &mut Vec<(&'a [u8], Node<'a>)>,
    mut message: Message<'a>,
    depth: usize,
) -> Result<()> {
    while let Some((number, wire)) = message.next()? {
        if let (1, Wire::Bytes(mut pair)) = (number, wire) {
            let (mut key, mut item): (&[u8], _) = (&[], Node::Empty);
            while let Some((number, wire)) = pair.next()? {
                match (number, wire) {
                    (1, Wire::Bytes(text)) => key = text.bytes(),
                    (2, Wire::Bytes(value)) => merge(&mut item, value, depth)?,
                    _ => {}
                }
            }
            items.push((key, item));
        }
    }
    Ok(())
}

fn write_json(out: &mut String, node: &Node<'_>, invalid: &mut u64) {
    match node {
        Node::Empty => out.push_str("null"),
        Node::Text(bytes) => write_text(out, bytes, invalid),
        Node::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Node::Int(i) => drop(write!(out, "{i}")),
        // Debug, for Display writes 1e300 as 301 digits.
        Node::Double(d) if d.is_finite() => drop(write!(out, "{d:?}")),
        Node::Double(d) => out.push_str(match d {
            _ if d.is_nan() => "\"NaN\"",
            _ if *d > 0.0 => "\"Infinity\"",
            _ => "\"-Infinity\"",
        }),
        Node::Bytes(bytes) => {
            out.push('"');
            write_hex(out, bytes);
            out.push('"');
        }
        Node::List(items) => {
            let mut mark = '[';
            for item in items {
                out.push(mark);
                mark = ',';
                write_json(out, item, invalid);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Node::Map(items) => {
            let mut mark = '{';
            for (key, item) in items {
                out.push(mark);
                mark = ',';
                write_text(out, key, invalid);
                out.push(':');
                write_json(out, item, invalid);
            }
            out.push_str(if items.is_empty() { "{}" } else { "}" });
        }
    }
}

fn write_text(out: &mut String, bytes: &[u8], invalid: &mut u64) {
    let text = String::from_utf8_lossy(bytes);
    *invalid += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let digits = [byte >> 4, byte & 15].map(|d| char::from_digit(d.into(), 16));
        out.extend(digits.into_iter().flatten());
    }
}
