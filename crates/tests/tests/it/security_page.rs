//! `docs/security.md` names the test that proves each promise: the names have to be real.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let named = tests_named(&page);
    assert!(named.len() > 30, "only {} names were found", named.len());
    let mut sources = Vec::new();
    read_sources(&root.join("crates"), &mut sources);
    let missing: Vec<_> = named
        .iter()
        .filter(|(module, test)| !sources.iter().any(|source| source.holds(module, test)))
        .collect();
    assert!(missing.is_empty(), "not there: {missing:?}");
}

#[test]
fn every_promise_of_the_security_page_has_a_proof() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let (_, promises) = page
        .split_once("## What is promised")
        .expect("the section with the promises");
    let (promises, _) = promises.split_once("\n## ").expect("a section after it");
    for row in promises.lines().filter(|line| line.starts_with("| ")) {
        if row.starts_with("| promise") || row.starts_with("| ---") {
            continue;
        }
        assert!(!tests_named(row).is_empty(), "no test proves: {row}");
    }
}

/// What stands in back quotes as `module::test`.
fn tests_named(text: &str) -> BTreeSet<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|name| name.split_once("::"))
        .map(|(module, test)| (module.to_owned(), test.to_owned()))
        .collect()
}

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Whether this file belongs to the module and holds the test, or is the module `test` itself.
    fn holds(&self, module: &str, test: &str) -> bool {
        let inside = self.path.iter().any(|part| {
            Path::new(part)
                .file_stem()
                .is_some_and(|stem| stem == module)
        });
        inside
            && (self.text.contains(&format!("fn {test}("))
                || self.path.file_stem().is_some_and(|stem| stem == test))
    }
}

fn read_sources(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            sources.push(Source { path, text });
        }
    }
}
