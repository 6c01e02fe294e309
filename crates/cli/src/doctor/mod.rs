//! `hexline doctor`: what is wrong here, and what to do about it.
//!
//! Every check gives ok, warn or fail, what was found, and a remedy. A check that needs what
//! another found broken is left out. To add one: a function in [`checks`] (what is on this
//! machine) or [`reach`] (what answers), and a line in [`run`].

mod certificate;
mod checks;
mod reach;

use serde::Serialize;

use super::exit::{CliError, Exit};
use super::paint::Paint;
use super::{Context, DataArgs, print};

/// `hexline doctor`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
}

/// What a check found.
#[derive(Serialize)]
pub(super) struct Finding {
    name: &'static str,
    outcome: Outcome,
    found: String,
    remedy: Option<String>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Finding],
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let mut findings = Vec::new();
    match context.records(&args.data) {
        Ok(config) => {
            let (file, _) = context.file();
            findings.push(checks::configuration(file));
            findings.extend(checks::doors(&config));
            findings.push(checks::data_directory(&config));
            let server = reach::server(&config).await;
            findings.push(checks::database(&config, server.is_some()).await);
            findings.push(checks::master_key(&config).await);
            findings.extend(checks::nodes(&config, server.as_ref()).await);
            findings.push(checks::clock(&config));
            findings.push(checks::open_files(&config));
            findings.extend(checks::tls(&config));
            findings.push(reach::port(&config, server.as_ref()));
            findings.push(reach::ready(&config, server.as_ref()).await);
        }
        Err(error) => findings.push(
            Finding::fail("configuration", error.to_string())
                .remedy("every option is described in hexline.sample.toml"),
        ),
    }
    let failed = findings
        .iter()
        .any(|finding| finding.outcome == Outcome::Fail);
    if context.json {
        print::json(&Report {
            ok: !failed,
            checks: &findings,
        })?;
    } else {
        print::text(&show(&findings))?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Warn,
            found: found.into(),
            remedy: None,
        }
    }

    fn fail(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Fail,
            found: found.into(),
            remedy: None,
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

fn show(findings: &[Finding]) -> String {
    let paint = Paint::stdout();
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for Finding {
        name,
        outcome,
        found,
        remedy,
    } in findings
    {
        let word = match outcome {
            Outcome::Ok => paint.good("ok  "),
            Outcome::Warn => paint.warning("warn"),
            Outcome::Fail => paint.bad("FAIL"),
        };
        lines.push(format!("{word}  {name:<width$}  {found}"));
        if let Some(remedy) = remedy {
            let remedy = paint.faint(&format!("→ {remedy}"));
            lines.push(format!("      {:<width$}  {remedy}", ""));
        }
    }
    lines.join("\n")
}
