use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::quote;

/// Reads one JSON text, front to back.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// The names of an object's members so far: the first few as they stand, then a set.
struct Names<'a> {
    few: [&'a str; FEW_NAMES],
    count: usize,
    many: Option<HashSet<Cow<'a, str>>>,
}

/// What sort of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Not JSON.
    Syntax,
    /// An escape that is half a character.
    LoneSurrogate,
    /// A member twice in one object.
    Duplicate(String),
    /// Nested too deeply.
    TooDeep,
    /// JSON, but another sort of value than the caller wants here.
    Unexpected(Kind),
    /// The caller's own objection: what it found and what it wanted.
    Refused { found: String, expected: String },
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(mut self) -> Result<(), Flaw> {
        self.skip_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Flaw::Syntax)
        }
    }

    /// Hands each member's name to the closure, which must read the value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        self.want(Kind::Object)?;
        self.enter()?;
        if !self.closes(b'}') {
            let mut names = Names::new();
            loop {
                self.skip_space();
                let name = self.string()?;
                self.skip_space();
                self.take(b':')?;
                if !names.is_new(&name) {
                    return Err(Flaw::Duplicate(name.into_owned()));
                }
                member(self, &name)?;
                names.add(name);
                self.skip_space();
                match self.next() {
                    Some(b',') => {}
                    Some(b'}') => break,
                    _ => return Err(Flaw::Syntax),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Calls the closure once per element, which it must read.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        self.want(Kind::Array)?;
        self.enter()?;
        if !self.closes(b']') {
            loop {
                element(self)?;
                self.skip_space();
                match self.next() {
                    Some(b',') => {}
                    Some(b']') => break,
                    _ => return Err(Flaw::Syntax),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        self.want(Kind::String)?;
        self.at += 1;
        let start = self.at;
        self.run();
        if self.peek_byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut text = String::from(&self.text[start..self.at]);
        loop {
            match self.next() {
                Some(b'"') => return Ok(Cow::Owned(text)),
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(Flaw::Syntax),
            }
            let start = self.at;
            self.run();
            text.push_str(&self.text[start..self.at]);
        }
    }

    /// Reads a number, as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str, Flaw> {
        self.want(Kind::Number)?;
        let start = self.at;
        if self.peek_byte() == Some(b'-') {
            self.at += 1;
        }
        match self.peek_byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek_byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek_byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek_byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool, Flaw> {
        self.want(Kind::Boolean)?;
        let value = self.peek_byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads `null`.
    pub(crate) fn null(&mut self) -> Result<(), Flaw> {
        self.want(Kind::Null)?;
        self.word("null")
    }

    /// Reads any value, with all the rules, and gives it as it is written.
    pub(crate) fn raw(&mut self) -> Result<(Kind, &'a str), Flaw> {
        let kind = self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok((kind, &self.text[start..self.at]))
    }

    /// Reads any value, with all the rules, and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), Flaw> {
        match self.peek()? {
            Kind::Object => self.object(|reader, _| reader.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Boolean => self.boolean().map(drop),
            Kind::Null => self.null(),
        }
    }

    /// What sort of value comes next.
    pub(crate) fn peek(&mut self) -> Result<Kind, Flaw> {
        self.skip_space();
        Ok(match self.peek_byte().ok_or(Flaw::Syntax)? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Boolean,
            b'n' => Kind::Null,
            _ => return Err(Flaw::Syntax),
        })
    }

    fn want(&mut self, wanted: Kind) -> Result<(), Flaw> {
        let found = self.peek()?;
        if found == wanted {
            Ok(())
        } else {
            Err(Flaw::Unexpected(found))
        }
    }

    fn enter(&mut self) -> Result<(), Flaw> {
        if self.depth == MAX_DEPTH {
            return Err(Flaw::TooDeep);
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    /// Whether the bracket closes at once; then it is taken.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        let closes = self.peek_byte() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// Moves over a string's characters up to the next quote, backslash or illegal byte.
    fn run(&mut self) {
        let mut rest = &self.text.as_bytes()[self.at..];
        while let Some((eight, after)) = rest.split_first_chunk::<8>()
            && !holds_special(u64::from_le_bytes(*eight))
        {
            rest = after;
        }
        let special = rest
            .iter()
            .position(|c| matches!(c, b'"' | b'\\' | 0..=0x1f));
        self.at = self.text.len() - rest.len() + special.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, Flaw> {
        Ok(match self.next() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex()?;
                if let Some(c) = char::from_u32(unit) {
                    return Ok(c);
                }
                if unit >= 0xdc00 || self.next() != Some(b'\\') || self.next() != Some(b'u') {
                    return Err(Flaw::LoneSurrogate);
                }
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(Flaw::LoneSurrogate);
                }
                char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                    .ok_or(Flaw::LoneSurrogate)?
            }
            _ => return Err(Flaw::Syntax),
        })
    }

    fn hex(&mut self) -> Result<u32, Flaw> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|c| char::from(c).to_digit(16));
            unit = unit << 4 | digit.ok_or(Flaw::Syntax)?;
        }
        Ok(unit)
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            Err(Flaw::Syntax)
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Flaw> {
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(word.as_bytes()) {
            return Err(Flaw::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn take(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.next() == Some(byte) {
            Ok(())
        } else {
            Err(Flaw::Syntax)
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek_byte()?;
        self.at += 1;
        Some(byte)
    }

    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek_byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

impl<'a> Names<'a> {
    fn new() -> Self {
        Self {
            few: [""; FEW_NAMES],
            count: 0,
            many: None,
        }
    }

    fn is_new(&self, name: &str) -> bool {
        match &self.many {
            None => !self.few[..self.count].contains(&name),
            Some(many) => !many.contains(name),
        }
    }

    fn add(&mut self, name: Cow<'a, str>) {
        if let Some(many) = &mut self.many {
            many.insert(name);
            return;
        }
        match name {
            Cow::Borrowed(name) if self.count < FEW_NAMES => {
                self.few[self.count] = name;
                self.count += 1;
            }
            name => {
                let few = self.few[..self.count]
                    .iter()
                    .map(|name| Cow::Borrowed(*name));
                self.many = Some(few.chain([name]).collect());
            }
        }
    }
}

/// Whether one of eight bytes ends the plain part of a string: a quote, a backslash or a control
/// character. May also say so of bytes above them in the word, never the other way round.
fn holds_special(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let quote = zero_byte(word ^ (ONES * 0x22));
    let backslash = zero_byte(word ^ (ONES * 0x5c));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    quote | backslash | control != 0
}

impl Kind {
    /// As in "found …".
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

impl Flaw {
    /// What was found and what was expected, in a reader's words.
    pub(crate) fn describe(self) -> (String, String) {
        let (found, expected) = match self {
            Self::Syntax => ("text that is not JSON".to_owned(), "a JSON object"),
            Self::LoneSurrogate => ("half of a surrogate pair".to_owned(), "whole characters"),
            Self::Duplicate(name) => (
                format!("the member {} twice", quote(&name)),
                "each member once",
            ),
            Self::TooDeep => ("more than 16 levels".to_owned(), "at most 16 levels"),
            Self::Unexpected(kind) => (kind.name().to_owned(), "another sort of value"),
            Self::Refused { found, expected } => return (found, expected),
        };
        (found, expected.to_owned())
    }
}

const MAX_DEPTH: usize = 16;

/// Up to so many names, looking through all of them is faster than hashing.
const FEW_NAMES: usize = 12;

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
