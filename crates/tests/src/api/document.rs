use serde_json::Value;

use super::schema;

/// A description of an HTTP API.
pub struct Document(Value);

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `get`, `post`, …
    pub method: String,
    /// The path, with `{…}` for what varies.
    pub path: String,
    /// What stands in path, query and headers.
    pub parameters: Vec<Parameter>,
    /// The content type and schema of the body, if it takes one.
    pub body: Option<(String, Value)>,
    /// Which security schemes let a caller in; none: anybody.
    pub schemes: Vec<String>,
    responses: Value,
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it has to be there.
    pub required: bool,
    /// What it may be.
    pub schema: Value,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between two slashes of the path.
    Path,
    /// Behind the question mark.
    Query,
    /// In the head.
    Header,
}

impl Document {
    /// Reads a document.
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    /// The document itself.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Every operation, in the order of the paths.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("paths");
        let items = paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().expect("a path's operations");
            item.iter()
                .map(move |(method, value)| (path, method, value))
        });
        items
            .map(|(path, method, value)| self.operation(path, method, value))
            .collect()
    }

    /// Whether a value is what a schema describes, and if not, why.
    pub fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        schema::check(&self.0, schema, value)
    }

    /// Every member that a value may have which a schema describes, down to the last, with the JSON
    /// pointer to it.
    pub fn members<'a>(&'a self, schema: &'a Value) -> Vec<(String, &'a Value)> {
        let schema = self.at(schema, "");
        let mut found = Vec::new();
        let below = |step: &str, inner: &'a Value, found: &mut Vec<_>| {
            found.push((format!("/{step}"), self.at(inner, "")));
            let members = self.members(inner).into_iter();
            found.extend(members.map(|(place, schema)| (format!("/{step}{place}"), schema)));
        };
        for word in ["allOf", "oneOf", "anyOf"] {
            for part in schema[word].as_array().into_iter().flatten() {
                found.extend(self.members(part));
            }
        }
        if let Some(items) = schema.get("items") {
            below("0", items, &mut found);
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            below(name, member, &mut found);
        }
        found
    }

    /// The schema of what a JSON pointer leads to in a value that another schema describes.
    pub fn at<'a>(&'a self, schema: &'a Value, pointer: &str) -> &'a Value {
        let mut found = self.resolve(schema);
        for step in pointer.split('/').skip(1) {
            let inner = match found.get("items") {
                Some(items) => items,
                None => &found["properties"][step],
            };
            found = self.resolve(self.but_null(inner));
        }
        self.resolve(self.but_null(found))
    }

    /// Of a schema that allows null besides, the other choice.
    fn but_null<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
        let is_other = |choice: &&Value| self.resolve(choice)["type"] != "null";
        let mut others = choices.into_iter().flatten().filter(is_other);
        match (others.next(), others.next()) {
            (Some(other), None) => other,
            _ => schema,
        }
    }

    /// Follows a reference.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        schema::resolve(&self.0, schema)
    }

    /// What is wrong with an answer to an operation, if anything.
    pub fn judge(
        &self,
        operation: &Operation,
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), String> {
        if status >= 500 {
            return Err(format!("{status}: {}", String::from_utf8_lossy(body)));
        }
        let Some(response) = operation.responses.get(status.to_string()) else {
            let body = String::from_utf8_lossy(body);
            return Err(format!("{status} is not described: {body}"));
        };
        let kind = content_type.split(';').next().unwrap_or("").trim();
        let Some(content) = response["content"].as_object().filter(|c| !c.is_empty()) else {
            return if body.is_empty() {
                Ok(())
            } else {
                Err(format!(
                    "{status} has a body of {kind}, and none is described"
                ))
            };
        };
        let Some(media) = content.get(kind) else {
            return Err(format!("{status} is {kind:?}, which is not described"));
        };
        if kind != "application/json" {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| format!("{status} has a body that is not JSON: {error}"))?;
        self.check(&media["schema"], &value)
            .map_err(|why| format!("{status}: {why} in {value}"))
    }

    fn operation(&self, path: &str, method: &str, value: &Value) -> Operation {
        let parameters = value["parameters"].as_array();
        let schemes = value["security"].as_array();
        let schemes = schemes.into_iter().flatten().filter_map(Value::as_object);
        let content = value["requestBody"]["content"].as_object();
        Operation {
            method: method.to_owned(),
            path: path.to_owned(),
            parameters: parameters
                .into_iter()
                .flatten()
                .map(|parameter| Parameter::read(self.resolve(parameter)))
                .collect(),
            body: content.and_then(|content| {
                let json = content.get_key_value("application/json");
                let (kind, media) = json.or_else(|| content.iter().next())?;
                Some((kind.clone(), media["schema"].clone()))
            }),
            schemes: schemes.flat_map(|scheme| scheme.keys().cloned()).collect(),
            responses: value["responses"].clone(),
        }
    }
}

impl Operation {
    /// `GET /client/v1/me`
    pub fn name(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }
}

impl Parameter {
    fn read(value: &Value) -> Self {
        Self {
            name: value["name"].as_str().expect("a name").to_owned(),
            place: match value["in"].as_str().expect("a place") {
                "path" => Place::Path,
                "query" => Place::Query,
                "header" => Place::Header,
                other => panic!("a parameter in {other}"),
            },
            required: value["required"].as_bool().unwrap_or(false),
            schema: value["schema"].clone(),
        }
    }
}
