use std::env;
use std::path::Path;

/// How the running program is called from here: `hexline` if that is what the shell would find, else
/// its path, from the working directory if it is below.
pub(crate) fn name() -> String {
    let Ok(running) = env::current_exe() else {
        return NAME.to_owned();
    };
    let places = env::var_os("PATH").unwrap_or_default();
    let first = env::split_paths(&places)
        .map(|dir| dir.join(NAME))
        .find(|path| path.is_file());
    let same = |path: &Path| path.canonicalize().ok() == running.canonicalize().ok();
    if first.is_some_and(|path| same(&path)) {
        return NAME.to_owned();
    }
    let here = env::current_dir().unwrap_or_default();
    called(&running, &here)
}

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

// Without a slash the shell would look for it elsewhere.
fn called(running: &Path, here: &Path) -> String {
    let shown = match running.strip_prefix(here) {
        Ok(below) if below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => running.to_owned(),
    };
    quoted(&shown.to_string_lossy())
}

const NAME: &str = "hexline";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_called_by_a_path_that_a_shell_finds() {
        for (running, here, shown) in [
            ("/a/target/debug/hexline", "/a", "target/debug/hexline"),
            ("/a/hexline", "/a", "./hexline"),
            ("/a/hexline", "/b", "/a/hexline"),
            ("/a b/it's/hexline", "/b", r"'/a b/it'\''s/hexline'"),
        ] {
            assert_eq!(called(Path::new(running), Path::new(here)), shown);
        }
    }
}
