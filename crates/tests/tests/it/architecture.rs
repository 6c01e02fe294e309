//! What docs/architecture.md names is there: every file, and every function in its file.
//!
//! There, `gateway/session.rs` is `crates/gateway/src/session.rs`, a file of another folder is
//! written from the root, and `handle_text()` or `Session::handle_text()` is a function of the file
//! that was named last before it.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_file_and_function_of_the_architecture_page_exists() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let found = names(&page);
    let (files, functions) = found.iter().fold((0, 0), |(files, functions), name| {
        if matches!(name, Name::File(_)) {
            (files + 1, functions)
        } else {
            (files, functions + 1)
        }
    });
    assert!(
        files > 20 && functions > 20,
        "{files} files, {functions} functions"
    );
    let wrong: Vec<String> = wrong(&found);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let page = "`model/time.rs` has `Timestamp::plus()`, but no `tomorrow()`;\n\
                `model/sundial.rs` is not there, `model/` is, and so is `docs/adr/`.";
    assert_eq!(
        wrong(&names(page)),
        [
            "model/time.rs has no fn tomorrow",
            "there is no model/sundial.rs"
        ]
    );
}

/// What the page names, in its order.
#[derive(Debug)]
enum Name {
    File(String),
    Function(String),
}

/// The spans in backticks that name a file, a folder or a function.
fn names(page: &str) -> Vec<Name> {
    let spans = page.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| {
            let path = span.contains('/') && !span.starts_with('/');
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
            if path && span.chars().all(plain) && (span.ends_with('/') || span.contains('.')) {
                return Some(Name::File(span.to_owned()));
            }
            let function = span.strip_suffix("()")?;
            Some(Name::Function(function.to_owned()))
        })
        .collect()
}

fn wrong(names: &[Name]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last: Option<(&str, String)> = None;
    for name in names {
        match name {
            Name::File(file) => match find(file) {
                None => wrong.push(format!("there is no {file}")),
                Some(path) if path.is_file() => {
                    last = Some((file, fs::read_to_string(path).expect("a readable file")));
                }
                Some(_) => {}
            },
            Name::Function(function) => {
                let called = function.rsplit("::").next().expect("split gives one");
                let Some((file, text)) = &last else {
                    wrong.push(format!("{function}() stands before any file"));
                    continue;
                };
                let is_there = [format!("fn {called}("), format!("fn {called}<")]
                    .iter()
                    .any(|head| text.contains(head));
                if !is_there {
                    wrong.push(format!("{file} has no fn {function}"));
                }
            }
        }
    }
    wrong
}

/// Where a file or folder of the page is.
fn find(name: &str) -> Option<PathBuf> {
    let in_crate = name.split_once('/').map(|(krate, rest)| {
        let folder = root().join("crates").join(krate);
        folder.join("src").join(rest)
    });
    [Some(root().join(name)), in_crate]
        .into_iter()
        .flatten()
        .find(|path| path.exists())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/tests is two below the root")
}
