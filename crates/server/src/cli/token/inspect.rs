use hexline_model::{Clock, SystemClock, Timestamp};
use hexline_token::{Access, Service};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keyring::{KeyArgs, Question};
use crate::cli::exit::{CliError, Exit};
use crate::cli::paint::Paint;
use crate::cli::{Context, ask, print};

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
    /// answer `valid` or `invalid`: form, header, key, algorithm and signature only.
    #[arg(long, exclusive = true)]
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

/// An explanation as it comes from here or from a server.
#[derive(Deserialize)]
struct Explained {
    checks: Vec<Row>,
    header: Option<Value>,
    claims: Option<Value>,
}

#[derive(Deserialize)]
struct Row {
    number: u8,
    name: String,
    outcome: String,
    reason: Option<String>,
    found: String,
    wanted: String,
}

impl VerifyArgs {
    pub(super) fn lines(&self) -> bool {
        self.lines
    }
}

pub(super) async fn inspect(args: InspectArgs, context: &Context) -> Result<Exit, CliError> {
    let token = ask::token(&args.token)?;
    let now = args.question.now();
    let value = args.question.explain(&token, now, context).await?;
    let explained = read(&value)?;
    if context.json {
        print::json(&with_verdict(value, &explained))?;
    } else {
        print::text(&show(&explained, now))?;
    }
    Ok(explained.exit())
}

pub(super) async fn verify(args: VerifyArgs, context: &Context) -> Result<Exit, CliError> {
    if !args.question.keys.knows_keys()? {
        return Err(CliError::usage(
            "nothing to verify with: set HEXLINE_KEY_ID and HEXLINE_KEY_SECRET, or give \
             --public-key FILE or --data DIR",
        ));
    }
    let token = ask::token(args.token.as_deref().unwrap_or("-"))?;
    let value = args
        .question
        .explain(&token, args.question.now(), context)
        .await?;
    let explained = read(&value)?;
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
        let missing = explained.not_reached().join(", ");
        eprintln!(
            "{}",
            paint.faint(&format!("not checked without --data DIR: {missing}"))
        );
    }
    Ok(explained.exit())
}

impl QuestionArgs {
    fn now(&self) -> Timestamp {
        self.at.unwrap_or_else(|| SystemClock::new().now())
    }

    async fn explain(
        &self,
        token: &str,
        now: Timestamp,
        context: &Context,
    ) -> Result<Value, CliError> {
        let question = Question {
            token,
            access: self.access,
            grant: self.grant,
            now,
        };
        self.keys.explain(&question, context).await
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
        format!("{reason}: found {}, wanted {}", self.found, self.wanted)
    }
}

fn with_verdict(mut value: Value, explained: &Explained) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("verdict".to_owned(), explained.verdict().into());
        let failure = explained.failure();
        object.insert(
            "reason".to_owned(),
            json!(failure.and_then(|row| row.reason.as_ref())),
        );
        object.insert(
            "failed_check".to_owned(),
            json!(failure.map(|row| row.number)),
        );
    }
    value
}

fn show(explained: &Explained, now: Timestamp) -> String {
    let paint = Paint::stdout();
    let mut text = String::new();
    for (name, part) in [("Header", &explained.header), ("Claims", &explained.claims)] {
        let shown = match part {
            Some(part) => serde_json::to_string_pretty(part).expect("it was JSON"),
            None => "cannot be read".to_owned(),
        };
        text.push_str(&format!(
            "{}\n{}\n\n",
            paint.strong(name),
            printable(&shown)
        ));
    }
    let mut table = print::table(&["#", "CHECK", "OUTCOME", "FOUND", "WANTED"]);
    for row in &explained.checks {
        let outcome = match row.outcome.as_str() {
            NOT_REACHED => "not reached",
            other => other,
        };
        let number = row.number.to_string();
        table.add_row([number.as_str(), &row.name, outcome, &row.found, &row.wanted]);
    }
    text.push_str(&colour(&printable(&print::lines(&table)), paint));
    text.push('\n');
    if let Some(expires) = expires(explained) {
        text.push_str(&format!("{}\n", life(expires, now)));
    }
    text.push_str(&match explained.failure() {
        Some(row) => paint.bad(&format!(
            "Refused at check {}: {}",
            row.number,
            row.refusal()
        )),
        None if explained.not_reached().is_empty() => paint.good("Valid."),
        None => paint.warning(&format!(
            "No check failed. Not reached: {}. Give a key, or --data DIR for keys and revocations.",
            explained.not_reached().join(", ")
        )),
    });
    text.push('\n');
    text
}

fn colour(table: &str, paint: Paint) -> String {
    let mut text = String::with_capacity(table.len());
    for line in table.lines() {
        let mut words = line.split_whitespace().skip(2);
        let painted = if words.any(|word| word == FAIL) && line.contains(" fail ") {
            paint.bad(line)
        } else if line.contains(" not reached ") || line.ends_with(" not reached") {
            paint.faint(line)
        } else {
            line.to_owned()
        };
        text.push_str(&painted);
        text.push('\n');
    }
    text
}

fn expires(explained: &Explained) -> Option<Timestamp> {
    let seconds = explained.claims.as_ref()?.get("exp")?.as_f64()?;
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

// What a token says must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect()
}

fn read(value: &Value) -> Result<Explained, CliError> {
    serde_json::from_value(value.clone())
        .map_err(|e| CliError::failed(format!("the server's answer is not understood: {e}")))
}

fn service(text: &str) -> Result<Service, String> {
    Service::parse(text)
        .ok_or_else(|| format!("expected signal, chat, push, video or platform, found '{text}'"))
}

const FAIL: &str = "fail";
const NOT_REACHED: &str = "not_reached";
const GRANT: u8 = 9;
