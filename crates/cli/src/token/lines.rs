use std::io::{self, BufRead, BufWriter, Write};

use hexline_token::jws::{LineVerdict, verify_line};

use crate::exit::{CliError, Exit};

/// Reads one JSON object per line from stdin, `{"jwk":…|{"keys":[…]},"jws":"…","algs":[…]}`, and
/// answers each with `valid` or `invalid`, or with one JSON object.
pub(super) fn run(json: bool) -> Result<Exit, CliError> {
    let mut input = io::BufReader::with_capacity(1 << 16, io::stdin().lock());
    let words = if json { JSON } else { PLAIN };
    match answer(&mut input, io::stdout().lock(), words) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("stdin or stdout failed: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// The answers, with their line ends.
#[derive(Clone, Copy)]
struct Words {
    valid: &'static str,
    invalid: &'static str,
}

fn answer(
    input: &mut io::BufReader<impl io::Read>,
    output: impl Write,
    words: Words,
) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    let mut line = Vec::new();
    while let Some(whole) = next_line(input, &mut line)? {
        let verdict = match std::str::from_utf8(&line) {
            Ok(text) if whole => verify_line(text),
            _ => LineVerdict::Invalid,
        };
        let word = match verdict {
            LineVerdict::Valid => words.valid,
            LineVerdict::Invalid => words.invalid,
        };
        output.write_all(word.as_bytes())?;
        // Whoever asks line by line is answered line by line; whoever sends many, in large pieces.
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
    }
    output.flush()
}

// The next line without its end, and whether it is all there: of a line that is too long only the
// start is kept. `None` at the end of the input.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut found, mut whole) = (false, true);
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() {
            return Ok(found.then_some(whole));
        }
        found = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + piece.len() > MAX_LINE {
            whole = false;
        } else {
            line.extend_from_slice(piece);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

const MAX_LINE: usize = 1 << 20;

const PLAIN: Words = Words {
    valid: "valid\n",
    invalid: "invalid\n",
};
const JSON: Words = Words {
    valid: "{\"valid\":true}\n",
    invalid: "{\"valid\":false}\n",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_gets_one_answer() {
        let long = "x".repeat(MAX_LINE + 1);
        let input = format!("{{}}\nnot json\n\n{long}\n\u{fe}\nlast without an end");
        let mut output = Vec::new();
        let mut input = io::BufReader::new(input.as_bytes());
        answer(&mut input, &mut output, PLAIN).expect("no I/O fails");
        assert_eq!(
            String::from_utf8(output).expect("words"),
            "invalid\n".repeat(6)
        );
    }
}
