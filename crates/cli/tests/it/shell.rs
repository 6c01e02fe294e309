//! As much of a shell as documentation uses.

use std::iter::Peekable;
use std::str::Chars;

/// The commands in a line of shell, each as its words without quotes; those inside `$(…)` come
/// first, and `…` stands for what they print.
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut shell = Shell {
        chars: line.chars().peekable(),
        found: Vec::new(),
    };
    shell.list(false);
    shell.found
}

struct Shell<'a> {
    chars: Peekable<Chars<'a>>,
    found: Vec<Vec<String>>,
}

/// The command that is being read.
#[derive(Default)]
struct Reading {
    words: Vec<String>,
    word: Option<String>,
    /// Whether the next word is the file of `>` or `<`.
    redirected: bool,
}

impl Shell<'_> {
    // Reads to the end, or to the `)` that ends a substitution.
    fn list(&mut self, inside: bool) {
        let mut reading = Reading::default();
        while let Some(c) = self.chars.next() {
            match c {
                ')' if inside => break,
                '#' if reading.word.is_none() => break,
                '|' | ';' | '&' | '(' | ')' => self.end_command(&mut reading),
                '{' | '}' if reading.word.is_none() => self.end_command(&mut reading),
                '>' | '<' => {
                    reading.end_word();
                    reading.redirected = true;
                }
                c if c.is_whitespace() => reading.end_word(),
                '\'' => {
                    let quoted = self.chars.by_ref().take_while(|c| *c != '\'');
                    reading.word().extend(quoted);
                }
                '"' => self.double_quoted(&mut reading),
                c => self.plain(c, &mut reading),
            }
        }
        self.end_command(&mut reading);
    }

    fn double_quoted(&mut self, reading: &mut Reading) {
        reading.word();
        while let Some(c) = self.chars.next() {
            if c == '"' {
                return;
            }
            self.plain(c, reading);
        }
    }

    fn plain(&mut self, c: char, reading: &mut Reading) {
        match c {
            '\\' => reading.word().extend(self.chars.next()),
            '$' if self.chars.next_if_eq(&'(').is_some() => {
                self.list(true);
                reading.word().push('…');
            }
            c => reading.word().push(c),
        }
    }

    fn end_command(&mut self, reading: &mut Reading) {
        reading.end_word();
        let words = std::mem::take(reading).words;
        if !words.is_empty() {
            self.found.push(words);
        }
    }
}

impl Reading {
    fn word(&mut self) -> &mut String {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.redirected)
        {
            self.words.push(word);
        }
    }
}
