//! Log templates: lines that one statement of a program could have printed, found as they come.
//!
//! After Drain (He, Zhu, Zheng and Lyu, ICWS 2017), with a tree of fixed depth: lines are alike if they have as many words,
//! the same first word, and at least half of the words in the same places. Words with a digit, and long hexadecimal ones,
//! are variables. The work per line is bounded by [`MAX_BYTES`], [`MAX_WORDS`] and [`MAX_ALIKE`].

use std::collections::HashMap;

/// Bytes of a line that are read.
pub const MAX_BYTES: usize = 512;
/// Words of a line that are read.
pub const MAX_WORDS: usize = 48;
/// Templates that a line is compared with; once there are so many, the nearest takes it.
pub const MAX_ALIKE: usize = 64;
/// Hexadecimal words from this length on are variables even without a digit.
const LONG_HEX: usize = 16;
/// What a variable is written as.
const VARIABLE: &str = "<*>";
/// Characters that part words, beside white space.
const PARTING: &[char] = &[
    '=', ',', ':', ';', '(', ')', '[', ']', '{', '}', '<', '>', '"', '\'', '|', '\\',
];

/// Templates of the lines seen so far.
#[derive(Debug, Default)]
pub struct Miner {
    /// `None` for a variable.
    templates: Vec<Vec<Option<String>>>,
    alike: HashMap<(usize, Option<String>), Vec<usize>>,
}

impl Miner {
    /// Template of a line, by its number; a new one if no template is like it.
    pub fn add(&mut self, line: &str) -> usize {
        let words = words_of(line);
        let first = words.first().copied().flatten().map(str::to_owned);
        let alike = self.alike.entry((words.len(), first)).or_default();
        let nearest = alike
            .iter()
            .map(|&t| (same(&self.templates[t], &words), t))
            .max_by_key(|&(same, t)| (same, std::cmp::Reverse(t)));
        match nearest {
            Some((same, t)) if 2 * same >= words.len() || alike.len() >= MAX_ALIKE => {
                for (slot, word) in self.templates[t].iter_mut().zip(&words) {
                    if slot.as_deref() != *word {
                        *slot = None;
                    }
                }
                t
            }
            _ => {
                let t = self.templates.len();
                alike.push(t);
                let owned = words.iter().map(|word| word.map(str::to_owned));
                self.templates.push(owned.collect());
                t
            }
        }
    }

    /// How each template reads.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.templates
            .iter()
            .map(|template| {
                let words: Vec<_> = template
                    .iter()
                    .map(|word| word.as_deref().unwrap_or(VARIABLE))
                    .collect();
                words.join(" ")
            })
            .collect()
    }
}

/// Places that hold the same, a variable among them.
fn same(template: &[Option<String>], words: &[Option<&str>]) -> usize {
    template
        .iter()
        .zip(words)
        .filter(|(slot, word)| slot.as_deref() == **word)
        .count()
}

/// Words of a line, `None` for those that are variables.
fn words_of(line: &str) -> Vec<Option<&str>> {
    let end = (0..=line.len().min(MAX_BYTES))
        .rev()
        .find(|&end| line.is_char_boundary(end))
        .unwrap_or(0);
    line[..end]
        .split(|c: char| c.is_whitespace() || PARTING.contains(&c))
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|word| Some(word).filter(|word| !is_variable(word)))
        .collect()
}

fn is_variable(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
        || (word.len() >= LONG_HEX && word.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::{MAX_ALIKE, MAX_BYTES, Miner};

    #[test]
    fn lines_of_one_statement_share_a_template() {
        let mut miner = Miner::default();
        let a = miner.add("user 17 paid order=abc-9 in 30 ms");
        let b = miner.add("user 4 paid order=xyz-1 in 7 ms");
        let c = miner.add("connection to payments refused");
        let d = miner.add("connection to inventory refused");
        assert_eq!((a, c), (b, d));
        assert_ne!(a, c);
        assert_eq!(
            miner.texts(),
            [
                "user <*> paid order <*> in <*> ms",
                "connection to <*> refused"
            ]
        );
    }

    #[test]
    fn lines_that_agree_in_less_than_half_are_apart() {
        let mut miner = Miner::default();
        assert_ne!(
            miner.add("cache miss for key"),
            miner.add("cache was flushed today")
        );
    }

    #[test]
    fn a_line_has_the_same_template_when_it_comes_again() {
        let mut miner = Miner::default();
        let lines = ["a b c d", "a x c d", "a x y d", "", "é é", "a b c d e"];
        let first: Vec<_> = lines.iter().map(|line| miner.add(line)).collect();
        let again: Vec<_> = lines.iter().map(|line| miner.add(line)).collect();
        assert_eq!(first, again);
    }

    #[test]
    fn long_lines_and_many_kinds_stay_bounded() {
        let mut miner = Miner::default();
        let long = "é".repeat(MAX_BYTES);
        assert_eq!(miner.add(&long), miner.add(&format!("{long} tail")));
        let word = |i: usize| {
            let letter = |i: usize| char::from(b'a' + (i % 26) as u8);
            format!("{}{}", letter(i), letter(i / 26))
        };
        let mut miner = Miner::default();
        for i in 0..400 {
            miner.add(&format!(
                "start {} {} {}",
                word(i),
                word(i + 7),
                word(i + 90)
            ));
        }
        assert!(miner.texts().len() <= MAX_ALIKE);
    }
}
