//! The command lines in README.md and docs/ are ones that the program understands.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _, Parser as _};
use hexline_cli::Cli;

use crate::shell::commands;

#[test]
fn every_command_in_a_block_is_understood() {
    let mut seen = 0;
    for file in files() {
        for line in blocks(&read(&file)) {
            for args in invocations(&line) {
                seen += 1;
                let parsed = Cli::try_parse_from(&args);
                if let Err(error) = parsed
                    && error.use_stderr()
                {
                    panic!("{}: {line}\n{error}", file.display());
                }
            }
        }
    }
    assert!(seen > 20, "found only {seen} commands");
}

#[test]
fn every_command_in_the_text_has_known_names() {
    let mut seen = 0;
    for file in files() {
        for span in spans(&read(&file)) {
            for args in invocations(&span) {
                seen += 1;
                if let Some(unknown) = unknown(&args[1..]) {
                    panic!("{}: {unknown} in `{span}`", file.display());
                }
            }
        }
    }
    assert!(seen > 5, "found only {seen} commands");
}

#[test]
fn commands_are_found_wherever_they_stand_in_a_block() {
    let text = "\
Text with `hexline doctor` in it.

    hexline listen --token \"$(hexline token create --identity \\
        bob)\" | tee log   # hexline nothing
    $ FOO=1 hexline send --to bob '{\"text\":\"a; b\"}' > out && hexline doctor
    ExecStart=/usr/local/bin/hexline serve
    Environment=DIR=/var/lib/hexline

```sh
cargo run --release -- serve --dev
cargo run -p other -- x
token() { hexline token inspect; }
```

```rust
hexline();
```
";
    let found: Vec<_> = blocks(text)
        .iter()
        .flat_map(|line| invocations(line))
        .map(|args| args.join(" "))
        .collect();
    assert_eq!(
        found,
        [
            "hexline token create --identity bob",
            "hexline listen --token …",
            "hexline send --to bob {\"text\":\"a; b\"}",
            "hexline doctor",
            "hexline serve",
            "hexline serve --dev",
            "hexline token inspect",
        ]
    );
    assert_eq!(spans(text), ["hexline doctor"]);
    let words = |text: &str| -> Vec<String> { text.split(' ').map(ToOwned::to_owned).collect() };
    assert_eq!(unknown(&words("app set --longest-ttl")), None);
    assert_eq!(unknown(&words("COMMAND --help")), None);
    assert_eq!(unknown(&words("app sett")).as_deref(), Some("sett"));
    assert_eq!(unknown(&words("key show --kye")).as_deref(), Some("--kye"));
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md"), root.join("vectors/README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                files.push(path);
            }
        }
    }
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines of fenced and indented blocks, continued lines in one.
fn blocks(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut fence, mut continued) = (None, false);
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = fence.xor(Some(matches!(language, "" | "sh" | "bash" | "console")));
            continue;
        }
        let code = match fence {
            Some(shell) => shell.then_some(line),
            None => line.strip_prefix("    "),
        };
        let Some(code) = code else {
            continued = false;
            continue;
        };
        let (code, more) = match code.strip_suffix('\\') {
            Some(code) => (code, true),
            None => (code, false),
        };
        match lines.last_mut() {
            Some(last) if continued => last.push_str(code),
            _ => lines.push(code.to_owned()),
        }
        continued = more;
    }
    lines
}

/// The pieces of code in the text outside blocks that call the program.
fn spans(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose: Vec<_> = text
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fence && !fenced && !line.starts_with("    ")
        })
        .collect();
    let prose = prose.join(" ");
    let code = prose.split('`').skip(1).step_by(2);
    code.filter(|code| code.starts_with("hexline "))
        .map(ToOwned::to_owned)
        .collect()
}

/// The arguments of each call of the program in a line of shell, its name first.
fn invocations(line: &str) -> Vec<Vec<String>> {
    commands(line)
        .into_iter()
        .filter_map(|mut words| {
            while words
                .first()
                .is_some_and(|word| word == "$" || is_setting(word))
            {
                words.remove(0);
            }
            let program = words.first()?;
            if program == "cargo" && !words.iter().any(|word| word == "-p") {
                let end = words.iter().position(|word| word == "--")?;
                words.drain(..end);
            } else if !is_program(program) {
                return None;
            }
            "hexline".clone_into(&mut words[0]);
            Some(words)
        })
        .collect()
}

// Also in a unit of systemd.
fn is_program(word: &str) -> bool {
    let path = word.strip_prefix("ExecStart=").unwrap_or(word);
    path == "hexline" || path.ends_with("/hexline") && !path.contains('=')
}

// `NAME=value` before a command.
fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(plain)
}

/// The first subcommand or flag that the program does not have.
fn unknown(words: &[String]) -> Option<String> {
    let mut root = Cli::command();
    root.build();
    let mut command: &Command = &root;
    for word in words {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next();
            let known = command.get_arguments().any(|argument| {
                let names = argument.get_long_and_visible_aliases().unwrap_or_default();
                names.into_iter().any(|known| Some(known) == name)
            });
            if !known {
                return Some(word.clone());
            }
        } else if command.has_subcommands() {
            // A word in capitals stands for any.
            if word.chars().all(|c| c.is_ascii_uppercase()) {
                return None;
            }
            match command.find_subcommand(word) {
                Some(next) => command = next,
                None => return Some(word.clone()),
            }
        }
    }
    None
}
