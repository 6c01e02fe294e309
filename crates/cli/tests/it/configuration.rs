use crate::program::Place;

#[test]
fn an_unknown_option_is_an_error_wherever_it_stands() {
    let place = Place::new();
    place.write("hexline.toml", "[limits]\nframe_byte = 2048\n");
    let run = place.run(&["app", "create", "demo"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("hexline.toml:2") && run.err.contains("limits.frame_bytes"));
    place.write("hexline.toml", "");
    let run = place.run_with(&["app", "create", "demo"], &[("HEXLINE_LISTNE", "x")]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("HEXLINE_LISTEN"), "{}", run.err);
    let run = place.run(&["serve", "--listne", "x"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("--listen"), "{}", run.err);
    assert!(!place.path().join("hexline-data").exists());
}

#[test]
fn a_value_that_does_not_fit_is_told_with_what_would() {
    let place = Place::new();
    for (name, value, told) in [
        ("LOG_LEVEL", "verbose", "expected off, error, warn"),
        (
            "LOG_LEVEL",
            "info,hexline_server",
            "info,hexline_server=debug",
        ),
        ("METRICS_BEARER", "hunter2", "a text of 7 characters"),
        ("DATABASE", "mysql://u:hunter2@h/d", "a mysql:// URL"),
        ("DATABASE", "hunter2", "no URL"),
        ("DATA", "x", "did you mean 'HEXLINE_DATA_DIR'"),
    ] {
        let run = place.run_with(&["app", "list"], &[(&format!("HEXLINE_{name}"), value)]);
        assert_eq!(run.code, 2, "{name}");
        assert!(run.err.contains(told), "{name}: {}", run.err);
        assert!(!run.err.contains("hunter2"), "{name}: {}", run.err);
    }
    let levels = [("HEXLINE_LOG_LEVEL", "WARN, hexline_gateway=debug,sqlx=off")];
    let run = place.run_with(&["app", "create", "demo"], &levels);
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn the_file_may_be_named_by_the_environment_and_an_empty_name_is_none() {
    let place = Place::new();
    place.write("hexline.toml", "data_dir = 'from-file'\n");
    place.write("named.toml", "data_dir = 'from-named'\n");
    for (name, made) in [("", "from-file"), ("named.toml", "from-named")] {
        let run = place.run_with(&["app", "create", "demo"], &[("HEXLINE_CONFIG", name)]);
        assert_eq!(run.code, 0, "{name}: {}", run.err);
        assert!(place.path().join(made).exists(), "{name}");
    }
    let run = place.run_with(&["app", "list"], &[("HEXLINE_CONFIG", "missing.toml")]);
    assert_eq!(run.code, 2, "{}", run.out);
}

#[test]
fn the_data_directory_comes_from_file_environment_or_flag() {
    let place = Place::new();
    place.write("hexline.toml", "data_dir = 'from-file'\n");
    place.write("other.toml", "data_dir = 'from-other'\n");
    place.ok(&["app", "create", "demo"]);
    place.ok(&["app", "create", "demo", "--config", "other.toml"]);
    let env = [("HEXLINE_DATA_DIR", "from-env")];
    assert_eq!(place.run_with(&["app", "create", "demo"], &env).code, 0);
    assert_eq!(
        place
            .run_with(&["app", "create", "demo", "--data", "from-flag"], &env)
            .code,
        0
    );
    for name in ["from-file", "from-other", "from-env", "from-flag"] {
        assert!(
            place.path().join(name).join("master.key").exists(),
            "{name}"
        );
    }
    assert_eq!(
        place.run(&["app", "list", "--config", "missing.toml"]).code,
        2
    );
}

#[test]
fn what_would_be_dangerous_is_refused_before_anything_starts() {
    let place = Place::new();
    let run = place.run(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("--allow-public-dev"), "{}", run.err);
    let env = [("HEXLINE_TOKEN_SERVICE_ENABLED", "true")];
    let run = place.run_with(&["serve", "--listen", "0.0.0.0:0"], &env);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("allow_public_token"), "{}", run.err);
    let secret = "postgres://u:hunter2@127.0.0.1:1/x";
    let run = place.run(&["serve", "--database", secret]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("HEXLINE_MASTER_KEY_FILE"), "{}", run.err);
    assert!(!run.err.contains("hunter2"), "{}", run.err);
}

#[test]
fn help_and_completions_go_to_stdout_and_mistakes_to_stderr() {
    let place = Place::new();
    for command in [
        "",
        "serve",
        "app",
        "key",
        "token",
        "listen",
        "send",
        "master-key",
        "doctor",
        "completions",
        "app create",
        "app set",
        "app revoke-tokens",
        "key create",
        "key import",
        "key rotate",
        "token create",
        "token inspect",
        "token verify",
        "master-key rotate",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let out = place.ok(&args);
        assert!(
            out.contains("Usage:") && out.contains("--json"),
            "{command}: {out}"
        );
    }
    assert!(place.ok(&["--version"]).starts_with("hexline "));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&["completions", shell]).contains("hexline"));
    }
    let nothing = place.run(&[]);
    assert_eq!((nothing.code, nothing.out.as_str()), (2, ""));
    assert_eq!(place.run(&["dance"]).code, 2);
}

#[test]
fn with_json_an_error_is_json_too() {
    let place = Place::with_app();
    let run = place.run(&["app", "show", "nobody", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&run.err).expect("JSON");
    assert_eq!((run.code, &error["code"]), (4, &"not_found".into()));
}

#[test]
fn with_json_a_command_line_that_is_not_understood_is_json_too() {
    let place = Place::new();
    for (args, named) in [
        (&["app", "shwo", "--json"][..], "shwo"),
        (&["--json", "key", "create", "--lable", "x"], "--label"),
        (&["token", "create", "--json", "--ttl", "soon"], "90s"),
        (&["key", "show", "--json"], "KEY"),
        (&["--json"], "subcommand"),
        (&["app", "--json"], "subcommand"),
    ] {
        let run = place.run(args);
        let error: serde_json::Value =
            serde_json::from_str(&run.err).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", run.err));
        assert_eq!((run.code, &error["code"]), (2, &"usage".into()), "{args:?}");
        let message = error["message"].as_str().expect("a text");
        assert!(message.contains(named), "{args:?}: {message}");
        assert!(!message.contains("Usage:"), "{args:?}: {message}");
        assert_eq!(run.out, "");
    }
    let send = [
        "send", "--token", "t", "--to", "bob", "--nope", "--", "--json",
    ];
    assert!(place.run(&send).err.starts_with("error:"));
    assert!(
        place
            .run(&["app", "--json", "--help"])
            .out
            .contains("Usage:")
    );
}
