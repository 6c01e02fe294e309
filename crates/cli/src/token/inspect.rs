use hexline_model::{SystemClock, Timestamp};
use hexline_token::{Access, Service};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::keyring::{KeyArgs, Question};
use crate::exit::{CliError, Exit};
use crate::paint::Paint;
use crate::{Context, ask, print};

/// `hexline token inspect`
#[derive(clap::Args)]
pub(super) struct InspectArgs {
    /// The token; '-' reads it from stdin.
    token: String,
    #[command(flatten)]
    question: QuestionArgs,
}

/// `hexline token verify`
#[derive(clap::Args)]
pub(super) struct VerifyArgs {
    /// The token; '-' reads it from stdin.
    #[arg(required_unless_present = "lines")]
    token: Option<String>,
    /// Read one JSON object per line from stdin, {"jwk":…|{"keys":[…]},"jws":"…","algs":[…]}, and
    /// answer `valid` or `invalid` (with --json: {"valid":true} or {"valid":false}): form, header,
    /// key, algorithm and signature only.
    #[arg(
        long,
        conflicts_with_all = [
            "token", "key_id", "key_secret", "secret_file", "public_key", "alg", "urls", "data",
            "access", "grant", "at",
        ]
    )]
    lines: bool,
    #[command(flatten)]
    question: QuestionArgs,
}

#[derive(clap::Args)]
struct QuestionArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// The door: client or platform; the one that the audience names unless set.
    #[arg(long, value_name = "client|platform", value_parser = super::create::access)]
    access: Option<Access>,
    /// A service that the token should grant: signal, chat, push, video or platform.
    #[arg(long, value_name = "SERVICE", value_parser = service)]
    grant: Option<Service>,
    /// At what time: Unix seconds or e.g. +1h; now unless set.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, allow_hyphen_values = true)]
    at: Option<Timestamp>,
}

/// An explanation as it comes from here or from a server. What the token says stays as it is
/// written.
#[derive(Deserialize, Serialize)]
struct Explained {
    access: String,
    checks: Vec<Row>,
    expires: Option<String>,
    header: Option<Box<RawValue>>,
    claims: Option<Box<RawValue>>,
}

#[derive(Deserialize, Serialize)]
struct Row {
    number: u8,
    name: String,
    outcome: String,
    reason: Option<String>,
    found: String,
    wanted: String,
}

/// What `inspect --json` prints: the verdict first.
#[derive(Serialize)]
struct Report<'a> {
    verdict: &'static str,
    reason: Option<&'a str>,
    failed_check: Option<u8>,
    not_checked: Vec<&'a str>,
    #[serde(flatten)]
    explained: &'a Explained,
}

impl VerifyArgs {
    pub(super) fn lines(&self) -> bool {
        self.lines
    }
}

pub(super) async fn inspect(args: InspectArgs, context: &Context) -> Result<Exit, CliError> {
    let token = args.question.token(&args.token)?;
    let now = args.question.now();
    let explained = args.question.explain(&token, now, context).await?;
    let failure = explained.failure();
    let door_named = args.question.access.is_some();
    if context.json {
        print::json(&Report {
            verdict: explained.verdict(),
            reason: failure.and_then(|row| row.reason.as_deref()),
            failed_check: failure.map(|row| row.number),
            not_checked: explained.not_checked(door_named),
            explained: &explained,
        })?;
    } else {
        print::text(&show(&explained, now, door_named))?;
    }
    Ok(explained.exit())
}

pub(super) async fn verify(args: VerifyArgs, context: &Context) -> Result<Exit, CliError> {
    if !args.question.keys.knows_keys() {
        return Err(CliError::usage(
            "nothing to verify with: set HEXLINE_KEY_ID and HEXLINE_KEY_SECRET, or give \
             --public-key FILE or --data DIR",
        ));
    }
    let token = args
        .question
        .token(args.token.as_deref().unwrap_or(ask::STDIN))?;
    let explained = args
        .question
        .explain(&token, args.question.now(), context)
        .await?;
    let failure = explained.failure();
    if context.json {
        print::json(&json!({
            "valid": failure.is_none(),
            "reason": failure.and_then(|row| row.reason.as_ref()),
            "check": failure.map(|row| row.number),
            "found": failure.map(|row| &row.found),
            "wanted": failure.map(|row| &row.wanted),
            "not_reached": explained.not_reached(),
        }))?;
        return Ok(explained.exit());
    }
    match failure {
        None => print::text("valid")?,
        Some(row) => print::text(&format!("invalid: {}", row.refusal()))?,
    }
    if failure.is_none() && !explained.not_reached().is_empty() {
        let paint = Paint::stderr();
        eprintln!(
            "{}",
            paint.faint(&format!("Not checked: {}", explained.missing()))
        );
    }
    Ok(explained.exit())
}

impl QuestionArgs {
    fn token(&self, argument: &str) -> Result<String, CliError> {
        if argument == ask::STDIN && self.keys.reads_stdin() {
            return Err(CliError::usage(
                "stdin can give the token or the key, not both: put one of them into a file, an \
                 argument or the environment",
            ));
        }
        ask::token(argument)
    }

    fn now(&self) -> Timestamp {
        self.at.unwrap_or_else(|| SystemClock::new().now())
    }

    async fn explain(
        &self,
        token: &str,
        now: Timestamp,
        context: &Context,
    ) -> Result<Explained, CliError> {
        let question = Question {
            token,
            access: self.access,
            grant: self.grant,
            now,
        };
        let explanation = self.keys.explain(&question, context).await?;
        serde_json::from_str(explanation.get())
            .map_err(|e| CliError::failed(format!("the answer is not understood: {e}")))
    }
}

impl Explained {
    fn failure(&self) -> Option<&Row> {
        self.checks.iter().find(|row| row.outcome == FAIL)
    }

    // The grant is asked for by a call, not by the door.
    fn not_reached(&self) -> Vec<&str> {
        let door = self.checks.iter().filter(|row| row.number < GRANT);
        door.filter(|row| row.outcome == NOT_REACHED)
            .map(|row| row.name.as_str())
            .collect()
    }

    /// What no flag asked to check, too.
    fn not_checked(&self, door_named: bool) -> Vec<&str> {
        let rows = self.checks.iter();
        let left_out = rows.filter(|row| row.outcome == NOT_REACHED);
        let mut names: Vec<_> = left_out.map(|row| row.name.as_str()).collect();
        if !door_named {
            names.push("access");
        }
        names
    }

    /// The verdict of a token that every check of its door lets in.
    fn approval(&self, door_named: bool) -> String {
        let access = &self.access;
        let hints: Vec<_> = self
            .not_checked(door_named)
            .into_iter()
            .map(|name| match name {
                "access" => format!("access (taken from its audience; add --access {access})"),
                "grant" if access == Access::Platform.name() => {
                    "grant (add --grant platform)".to_owned()
                }
                "grant" => "grant (add --grant signal)".to_owned(),
                name => name.to_owned(),
            })
            .collect();
        if hints.is_empty() {
            return "Valid.".to_owned();
        }
        let hints = hints.join(", ");
        format!("Valid as far as it was checked; not checked: {hints}.")
    }

    /// What was not reached, and what would reach it.
    fn missing(&self) -> String {
        let rows = self.not_reached();
        let mut wanted = vec!["--data DIR reaches all of it"];
        if rows.contains(&"audience") {
            wanted.push("--url URL the audience");
        }
        if rows.contains(&"signature") {
            wanted.push("a key the signature");
        }
        format!("{}. {}.", rows.join(", "), wanted.join(", "))
    }

    fn exit(&self) -> Exit {
        if self.failure().is_some() {
            Exit::Refused
        } else {
            Exit::Done
        }
    }

    fn verdict(&self) -> &'static str {
        match self.failure() {
            Some(_) => "refused",
            None if self.not_reached().is_empty() => "valid",
            None => "undecided",
        }
    }
}

impl Row {
    fn refusal(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("refused");
        let (found, wanted) = (&self.found, &self.wanted);
        let hint = super::audience_hint(reason, found);
        format!("{reason}: found {found}, wanted {wanted}{hint}")
    }
}

fn show(explained: &Explained, now: Timestamp, door_named: bool) -> String {
    let paint = Paint::stdout();
    let mut lines = Vec::new();
    for (name, part) in [("Header", &explained.header), ("Claims", &explained.claims)] {
        let shown = part
            .as_ref()
            .map_or("cannot be read".to_owned(), |part| pretty(part.get()));
        lines.extend([paint.strong(name), printable(&shown), String::new()]);
    }
    lines.extend(table(&explained.checks, paint));
    lines.push(String::new());
    lines.extend(expires(explained).map(|expires| life(expires, now)));
    lines.push(match explained.failure() {
        Some(row) => paint.bad(&format!(
            "Refused at check {}: {}",
            row.number,
            row.refusal()
        )),
        None if explained.not_reached().is_empty() => paint.good(&explained.approval(door_named)),
        None => paint.warning(&format!(
            "No check failed. Not reached: {}",
            explained.missing()
        )),
    });
    lines.join("\n")
}

fn table(checks: &[Row], paint: Paint) -> Vec<String> {
    let mut table = print::table(&["#", "CHECK", "OUTCOME", "FOUND", "WANTED"]);
    for row in checks {
        table.add_row([
            row.number.to_string().as_str(),
            &row.name,
            &row.outcome.replace('_', " "),
            &printable(&row.found),
            &printable(&row.wanted),
        ]);
    }
    let text = print::lines(&table);
    let outcomes = checks.iter().map(|row| row.outcome.as_str());
    let paint = |(line, outcome): (&str, &str)| match outcome {
        "" => paint.strong(line),
        FAIL => paint.bad(line),
        NOT_REACHED => paint.faint(line),
        _ => line.to_owned(),
    };
    text.lines()
        .zip(std::iter::once("").chain(outcomes))
        .map(paint)
        .collect()
}

// JSON text with line breaks, its members in the order in which they are written.
fn pretty(json: &str) -> String {
    let (mut text, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let break_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        if quoted {
            text.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' if matches!(rest.peek(), Some('}' | ']')) => {
                text.push(c);
                text.extend(rest.next());
            }
            '{' | '[' => {
                depth += 1;
                text.push(c);
                break_line(&mut text, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_whitespace() => {}
            c => {
                quoted = c == '"';
                text.push(c);
            }
        }
    }
    text
}

fn expires(explained: &Explained) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims: Claims = serde_json::from_str(explained.claims.as_ref()?.get()).ok()?;
    let seconds = claims.exp;
    #[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

fn life(expires: Timestamp, now: Timestamp) -> String {
    if expires > now {
        format!(
            "Expires at {expires}, in {}.",
            span(expires.since(now).as_secs())
        )
    } else {
        format!(
            "Expired at {expires}, {} ago.",
            span(now.since(expires).as_secs())
        )
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

// What a token says must not steer the terminal; the line breaks are ours.
fn printable(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(print::visible).collect();
    lines.join("\n")
}

fn service(text: &str) -> Result<Service, String> {
    Service::parse(text)
        .ok_or_else(|| format!("expected signal, chat, push, video or platform, found '{text}'"))
}

const FAIL: &str = "fail";
const NOT_REACHED: &str = "not_reached";
const GRANT: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_broken_into_lines_and_otherwise_left_as_it_is() {
        let shown = pretty(r#"{"b":"x{,\"}","a":[1,2],"c":{}}"#);
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        let expected = [
            "{",
            r#""b": "x{,\"}","#,
            r#""a": ["#,
            "1,",
            "2",
            "],",
            r#""c": {}"#,
            "}",
        ];
        assert_eq!(lines, expected);
    }
}
