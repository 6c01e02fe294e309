use hexline_model::{Entropy as _, SeededEntropy};

use crate::fuzz_targets;
use crate::keys::Key;

/// How often, unless `HEXLINE_FUZZ_ITERATIONS` says otherwise.
const ITERATIONS: usize = 20_000;

#[test]
fn parsing_stands_random_changes() {
    drive(fuzz_targets::parse, 1);
}

#[test]
fn verifying_stands_random_changes() {
    drive(fuzz_targets::verify, 2);
}

/// The target of `fuzz/`, driven on stable Rust: a corpus, then changes to it by a fixed seed.
fn drive(target: fn(&[u8]), seed: u64) {
    let iterations = std::env::var("HEXLINE_FUZZ_ITERATIONS")
        .map_or(ITERATIONS, |text| text.parse().expect("a number"));
    let entropy = SeededEntropy::new(seed);
    let mut corpus = corpus();
    for input in &corpus {
        target(input);
    }
    let random = |below: usize| {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % (below.max(1) as u64)).expect("small")
    };
    for _ in 0..iterations {
        let mut input = corpus[random(corpus.len())].clone();
        for _ in 0..=random(4) {
            change(&mut input, &random, &corpus);
        }
        target(&input);
        if random(64) == 0 && input.len() < 4096 && corpus.len() < 4096 {
            corpus.push(input);
        }
    }
}

fn change(input: &mut Vec<u8>, random: &dyn Fn(usize) -> usize, corpus: &[Vec<u8>]) {
    let at = random(input.len() + 1);
    let byte = u8::try_from(random(256)).expect("a byte");
    match random(7) {
        0 if at < input.len() => input[at] ^= 1 << random(8),
        1 if at < input.len() => input[at] = byte,
        2 => input.insert(at, byte),
        3 if at < input.len() => drop(input.remove(at)),
        4 => input.truncate(at),
        5 => {
            let word = WORDS[random(WORDS.len())].bytes();
            input.splice(at..at, word);
        }
        _ => {
            let other = &corpus[random(corpus.len())];
            let start = random(other.len());
            let end = start + random((other.len() - start).min(64));
            input.splice(at..at, other[start..end].iter().copied());
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = crate::verify::cases()
        .iter()
        .filter_map(|case| case["token"].as_str())
        .filter(|token| token.len() < 2000)
        .flat_map(|token| {
            let claims = hexline_token::UnverifiedToken::parse(token)
                .map_or(String::new(), |token| token.claims_json().to_owned());
            [format!("t{token}"), format!("c{claims}")]
        })
        .map(String::into_bytes)
        .collect();
    for line in crate::validate::cases() {
        corpus.push(format!("l{}", line["line"]).into_bytes());
        corpus.push(format!("k{}", line["jwk"]).into_bytes());
        corpus.push(format!("k{}", line["jwks"]).into_bytes());
    }
    corpus.push(format!("h{}", Key::of("hs256").id).into_bytes());
    corpus.push(br#"h{"alg":"HS256","kid":"b234fdb83571400f9b62e204d735126e"}"#.to_vec());
    corpus
}

const WORDS: [&str; 16] = [
    "\"",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1e999",
    "-0",
    "\"iss\"",
    "\"alg\":\"none\"",
    "..",
    "\u{feff}",
];
