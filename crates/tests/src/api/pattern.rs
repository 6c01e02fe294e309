use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// A regular expression of a schema that describes a whole text: `^…$`.
///
/// Says whether a text fits, and makes the shortest one that does and one of a wanted length. What
/// is made prefers letters and digits.
pub(super) struct Pattern(Hir);

impl Pattern {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Self {
        assert!(
            text.starts_with('^') && text.ends_with('$'),
            "{text} describes a part of a text only"
        );
        let parsed = regex_syntax::parse(text);
        Self(parsed.unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    /// Whether a text is one of those that are meant.
    pub(super) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        fits(&self.0, &text, &mut |rest| rest.is_empty())
    }

    /// One of the shortest texts.
    pub(super) fn shortest(&self) -> String {
        let mut text = String::new();
        write(&self.0, false, &mut 0, &mut text);
        text
    }

    /// The longest text, or where there is none, one of this many characters.
    pub(super) fn longest(&self, most: usize) -> String {
        let made = |mut more: usize| {
            let mut text = String::new();
            write(&self.0, true, &mut more, &mut text);
            text
        };
        let least = made(0);
        made(most.saturating_sub(least.chars().count()))
    }
}

fn fits(hir: &Hir, text: &[char], then: &mut dyn FnMut(&[char]) -> bool) -> bool {
    match hir.kind() {
        // The anchors at both ends.
        HirKind::Empty | HirKind::Look(_) => then(text),
        HirKind::Literal(literal) => {
            let wanted: Vec<char> = text_of(&literal.0).chars().collect();
            text.strip_prefix(&wanted[..]).is_some_and(then)
        }
        HirKind::Class(class) => match text {
            [first, rest @ ..] if holds(class, *first) => then(rest),
            _ => false,
        },
        HirKind::Capture(capture) => fits(&capture.sub, text, then),
        HirKind::Concat(parts) => fits_all(parts, text, then),
        HirKind::Alternation(parts) => parts.iter().any(|part| fits(part, text, then)),
        HirKind::Repetition(repeated) => fits_times(repeated, 0, text, then),
    }
}

fn fits_all(parts: &[Hir], text: &[char], then: &mut dyn FnMut(&[char]) -> bool) -> bool {
    match parts {
        [] => then(text),
        [first, others @ ..] => fits(first, text, &mut |rest| fits_all(others, rest, then)),
    }
}

fn fits_times(
    repeated: &Repetition,
    times: u32,
    text: &[char],
    then: &mut dyn FnMut(&[char]) -> bool,
) -> bool {
    // Without recursion where it is one character: texts are long.
    if let HirKind::Class(class) = repeated.sub.kind()
        && times == 0
    {
        let most = repeated.max.map_or(usize::MAX, |most| most as usize);
        let run = text.iter().take(most).take_while(|c| holds(class, **c));
        let run = run.count();
        return (repeated.min as usize..=run)
            .rev()
            .any(|n| then(&text[n..]));
    }
    let more = repeated.max.is_none_or(|most| times < most)
        && fits(&repeated.sub, text, &mut |rest| {
            rest.len() < text.len() && fits_times(repeated, times + 1, rest, then)
        });
    more || (times >= repeated.min && then(text))
}

fn write(hir: &Hir, long: bool, more: &mut usize, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(text_of(&literal.0)),
        HirKind::Class(class) => text.push(one_of(class)),
        HirKind::Capture(capture) => write(&capture.sub, long, more, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, long, more, text)),
        HirKind::Alternation(parts) => write(&parts[0], long, more, text),
        HirKind::Repetition(repeated) => {
            let times = match repeated.max {
                Some(most) if long => most as usize,
                // The first that has no end takes what is left.
                None if long => repeated.min as usize + std::mem::take(more),
                _ => repeated.min as usize,
            };
            for _ in 0..times {
                write(&repeated.sub, long, more, text);
            }
        }
    }
}

fn holds(class: &Class, wanted: char) -> bool {
    match class {
        Class::Unicode(class) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&wanted))
        }
        Class::Bytes(_) => false,
    }
}

fn one_of(class: &Class) -> char {
    let mut preferred = ('a'..='z')
        .chain('0'..='9')
        .chain('A'..='Z')
        .chain("-_. @".chars());
    let found = preferred.find(|c| holds(class, *c));
    found.expect("a class of characters that texts are made of")
}

fn text_of(literal: &[u8]) -> &str {
    std::str::from_utf8(literal).expect("an expression is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_makes_what_fits_it() {
        for (pattern, shortest, longest) in [
            ("^[0-9a-f]{4}$", "aaaa", "aaaa"),
            ("^[a-z0-9-]{1,5}$", "a", "aaaaa"),
            ("^[^/]+@[^.](?:[^/]*[^.])?$", "a@a", "aaaaaaa@aa"),
            ("^(?:b|c) x*$", "b ", "b xxxxxxxx"),
        ] {
            let made = Pattern::parse(pattern);
            assert_eq!(made.shortest(), shortest, "{pattern}");
            assert_eq!(made.longest(10), longest, "{pattern}");
            for text in [shortest, longest] {
                assert!(made.fits(text), "{pattern}: {text}");
            }
            for text in ["", "/", "a/b", "\u{7}"] {
                assert!(!made.fits(text), "{pattern}: {text}");
            }
        }
    }
}
