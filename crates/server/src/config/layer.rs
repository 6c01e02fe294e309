use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::options::{self, ENV_PREFIX, OPTIONS, Spec};
use super::value;

/// What one source sets: options with their values and places.
#[derive(Default)]
pub struct Layer(BTreeMap<&'static str, (Value, Place)>);

/// The sources, from the weakest to the strongest.
#[derive(Default)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Puts a layer over those that are there.
    #[must_use]
    pub fn with(mut self, layer: Layer) -> Self {
        self.0.push(layer);
        self
    }

    /// The strongest value of an option, its default, or nothing.
    pub(crate) fn lookup(&self, spec: &Spec) -> Option<(Value, Place)> {
        let set = self
            .0
            .iter()
            .rev()
            .find_map(|layer| layer.0.get(spec.key).cloned());
        set.or_else(|| {
            spec.default
                .map(|text| (default_value(text), Place::Default))
        })
    }
}

impl Layer {
    /// Reads a file; a file that is not there is an error only if it was asked for.
    pub fn file(path: &Path, asked_for: bool) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::text(path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !asked_for => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the text of a file; `path` only names it in errors.
    pub fn text(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let place = |start: usize| Place::File {
            path: path.to_owned(),
            line: 1 + text
                .get(..start)
                .map_or(0, |before| before.matches('\n').count()),
        };
        let syntax = |e: toml::de::Error| ConfigError::Syntax {
            place: place(e.span().map_or(0, |span| span.start)),
            message: e.message().to_owned(),
        };
        let spans = DeTable::parse(text).map_err(syntax)?;
        let values: toml::Table = text.parse().map_err(syntax)?;
        let mut layer = Self::default();
        layer.walk("", spans.get_ref(), &values, &place)?;
        Ok(layer)
    }

    /// Reads the variables that start with `HEXLINE_`.
    pub fn environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let names: Vec<String> = OPTIONS.iter().map(Spec::env_name).collect();
        let mut layer = Self::default();
        for (name, text) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let place = Place::Environment(name.to_owned());
            if let Some(index) = names.iter().position(|known| known == name) {
                let text = text.to_str().ok_or_else(|| ConfigError::Value {
                    place: place.clone(),
                    key: OPTIONS[index].key,
                    found: "not UTF-8".to_owned(),
                    expected: "text".to_owned(),
                })?;
                layer
                    .0
                    .insert(OPTIONS[index].key, (value::from_text(text), place));
            } else if !is_no_option(name, &text) {
                let known = names.iter().map(|name| &name[ENV_PREFIX.len()..]);
                return Err(ConfigError::UnknownKey {
                    nearest: options::nearest(&name[ENV_PREFIX.len()..], known)
                        .map(|near| format!("{ENV_PREFIX}{near}")),
                    key: name.to_owned(),
                    place,
                });
            }
        }
        Ok(layer)
    }

    /// Sets an option by a flag; `None` leaves it.
    ///
    /// # Panics
    /// If there is no such option.
    #[must_use]
    pub fn flag(mut self, flag: &'static str, key: &str, text: Option<String>) -> Self {
        let spec = options::find(key).expect("flags name options that exist");
        if let Some(text) = text {
            self.0
                .insert(spec.key, (value::from_text(&text), Place::Flag(flag)));
        }
        self
    }

    fn walk(
        &mut self,
        prefix: &str,
        spans: &DeTable<'_>,
        values: &toml::Table,
        place: &impl Fn(usize) -> Place,
    ) -> Result<(), ConfigError> {
        for (name, span) in spans {
            let key = format!("{prefix}{}", name.get_ref());
            let place_here = place(name.span().start);
            let value = values.get(name.get_ref().as_ref()).cloned();
            let known = options::find(&key);
            if let (Some(spec), Some(value)) = (known, &value) {
                self.0.insert(spec.key, (value.clone(), place_here));
            } else if let (DeValue::Table(inner), Some(Value::Table(value))) =
                (span.get_ref(), &value)
                && OPTIONS
                    .iter()
                    .any(|option| option.key.starts_with(&format!("{key}.")))
            {
                self.walk(&format!("{key}."), inner, value, place)?;
            } else {
                let known = OPTIONS.iter().flat_map(|option| {
                    [option.key, option.key.split('.').next().unwrap_or_default()]
                });
                return Err(ConfigError::UnknownKey {
                    place: place_here,
                    nearest: options::nearest(&key, known).map(ToOwned::to_owned),
                    key,
                });
            }
        }
        Ok(())
    }
}

// Read by the command line or the tests, or put there by Kubernetes for a service that is called
// `hexline`.
fn is_no_option(name: &str, text: &OsStr) -> bool {
    let name = &name[ENV_PREFIX.len()..];
    matches!(
        name,
        "CONFIG" | "KEY_ID" | "KEY_SECRET" | "TOKEN" | "PLATFORM_TOKEN"
    ) || (name == "PORT" && text.to_string_lossy().contains("://"))
        || ["TEST_", "FUZZ_", "SERVICE_", "PORT_"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn default_value(text: &str) -> Value {
    let table: toml::Table = format!("v = {text}").parse().expect("defaults are TOML");
    table["v"].clone()
}
