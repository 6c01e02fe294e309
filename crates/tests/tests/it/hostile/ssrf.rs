//! URLs that somebody gives the server, in every spelling of a place that it must not ask: none is
//! taken, by any setting that `/openapi.json` has, and a good one is. What a name resolves to is
//! checked where the connection is made: by the tests of `adapters/guarded.rs` in the server. That no
//! redirect is followed is in `webhook_deliveries`.

use std::collections::BTreeSet;

use hexline_tests::api::{ApiWorld, Credentials, Document, Hints, Input, Operation};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_takes_a_url_of_a_place_that_must_not_be_asked() {
    let mut world = ApiWorld::start_as_in_use().await;
    let app = world.app().await;
    let mut settings = BTreeSet::new();
    let mut faults = Vec::new();
    for operation in world.document.operations() {
        let Some((_, schema)) = &operation.body else {
            continue;
        };
        let members = urls(&world.document, schema);
        if members.is_empty() {
            continue;
        }
        let who = match operation.schemes.first().map(String::as_str) {
            Some("platformToken") => Credentials::Bearer(app.platform_token()),
            Some("consoleSession") => Credentials::Cookie(world.operator.cookie().to_owned()),
            _ => Credentials::None,
        };
        let hints = world.ids(&app, &operation, &who).await;
        for member in members {
            let setting = Setting {
                world: &world,
                operation: &operation,
                who: &who,
                hints: &hints,
                member: &member,
            };
            if let Err(fault) = setting.try_all().await {
                faults.push(format!("{} {member}: {fault}", operation.name()));
            }
            settings.insert(format!("{} {member}", operation.name()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for known in KNOWN {
        assert!(settings.contains(*known), "{known} is not in {settings:#?}");
    }
}

/// A member of a body that holds a URL.
struct Setting<'a> {
    world: &'a ApiWorld,
    operation: &'a Operation,
    who: &'a Credentials,
    hints: &'a Hints,
    member: &'a str,
}

impl Setting<'_> {
    /// Whether no hostile URL is taken, and that because of the URL.
    async fn try_all(&self) -> Result<(), String> {
        let mut is_guarded = false;
        let mut is_taken = false;
        let mut refused = None;
        for body in self.bodies() {
            let good = self.answer(&body, "https://id.example/in").await;
            is_taken |= good.0 < 300;
            if good.0 >= 300 {
                refused = Some(good.1.clone());
            }
            for url in HOSTILE {
                let found = self.answer(&body, url).await;
                if found.0 < 300 || found.0 >= 500 {
                    return Err(format!("{url:?} was answered {} {}", found.0, found.1));
                }
                is_guarded |= found != good;
            }
        }
        match (is_taken, is_guarded) {
            (true, true) => Ok(()),
            (true, false) => Err("nothing shows that the URL is looked at".to_owned()),
            (false, _) if self.is_for_development() => Ok(()),
            (false, _) => Err(format!(
                "no good URL is taken: {}",
                refused.unwrap_or_default()
            )),
        }
    }

    /// Whether the setting is refused as a whole by a server that is not in development.
    fn is_for_development(&self) -> bool {
        FOR_DEVELOPMENT.contains(&self.member)
    }

    /// What the setting may stand in: everything set, with each choice that its neighbours have.
    fn bodies(&self) -> Vec<Value> {
        let (_, schema) = self.operation.body.as_ref().expect("a body");
        let document = &self.world.document;
        let full = Input::body_of(document, schema, self.hints);
        let mut alone = full.clone();
        let (parent, _) = self.member.rsplit_once('/').expect("a pointer");
        let neighbours = document.at(schema, parent);
        // What is around it need not be there.
        for (at, _) in self.member.match_indices('/') {
            let (around, inside) = (&self.member[..at], &self.member[at + 1..]);
            let name = inside.split('/').next().unwrap_or_default();
            let required = document.at(schema, around)["required"].clone();
            let required = required.as_array().cloned().unwrap_or_default();
            if let Some(members) = alone.pointer_mut(around).and_then(Value::as_object_mut) {
                members.retain(|known, _| known == name || required.contains(&json!(known)));
            }
        }
        let mut bodies = vec![full.clone(), alone.clone()];
        for (neighbour, schema) in neighbours["properties"].as_object().into_iter().flatten() {
            let choices = document.at(schema, "")["enum"].as_array().cloned();
            for choice in choices.into_iter().flatten() {
                for body in [&full, &alone] {
                    let mut body = body.clone();
                    if let Some(parent) = body.pointer_mut(parent) {
                        parent[neighbour] = choice.clone();
                    }
                    bodies.push(body);
                }
            }
        }
        bodies
    }

    async fn answer(&self, body: &Value, url: &str) -> (u16, String) {
        let mut body = body.clone();
        let (parent, name) = self.member.rsplit_once('/').expect("a pointer");
        if let Some(parent) = body.pointer_mut(parent) {
            parent[name] = json!(url);
        }
        let (document, operation) = (&self.world.document, self.operation);
        let mut input = Input::valid(document, operation, self.hints, false);
        input.body = Some(("application/json".to_owned(), body.to_string().into_bytes()));
        let response = self.world.send(operation, &input, self.who).await;
        let response = response.expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("a body"))
    }
}

/// The members that hold a URL which the server will ask, as JSON pointers: those of that format, and
/// those whose name says so.
fn urls(document: &Document, schema: &Value) -> Vec<String> {
    let holds_url = |place: &str, member: &Value| {
        let name = place.rsplit('/').next().unwrap_or_default().to_lowercase();
        let words = ["url", "uri", "endpoint", "issuer", "href", "callback"];
        let is_named = words.iter().any(|word| name.ends_with(word));
        let is_text = member["type"].to_string().contains("string");
        is_text && (member["format"] == "uri" || is_named) && !BROWSERS.contains(&&*name)
    };
    let members = document.members(schema).into_iter();
    let urls = members.filter(|(place, member)| holds_url(place, member));
    urls.map(|(place, _)| place).collect()
}

/// Where a browser goes and the server does not.
const BROWSERS: &[&str] = &["redirect_uri"];

/// Settings that only `--dev` takes.
const FOR_DEVELOPMENT: &[&str] = &["/oidc/0/base_url"];

/// What has to be among the settings that were found.
const KNOWN: &[&str] = &[
    "POST /console/api/apps/{app}/keys/import /url",
    "PUT /console/api/apps/{app}/sign-in /external/url",
    "PUT /console/api/apps/{app}/sign-in /oidc/0/issuer",
    "PUT /console/api/apps/{app}/sign-in /oidc/0/base_url",
    "POST /console/api/apps/{app}/webhooks /url",
    "PATCH /console/api/apps/{app}/webhooks/{webhook} /url",
    "POST /platform/v1/webhooks /url",
    "PATCH /platform/v1/webhooks/{webhook} /url",
];

/// Places that must not be asked, as URL parsers and resolvers read them.
const HOSTILE: &[&str] = &[
    // This machine.
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1./",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7F.0x0.0x0.0x1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.255.255.254/",
    "https://0/",
    "https://0.0.0.0/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://localhost.:8443/",
    "https://a.localhost/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://%31%32%37.0.0.1/",
    "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
    "https://127\u{3002}0\u{3002}0\u{3002}1/",
    "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
    "https://\u{24db}ocalhost/",
    // Networks that are not the internet's.
    "https://10.0.0.1/",
    "https://012.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://3232235777/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://224.0.0.1/",
    "https://[ff02::1]/",
    "https://255.255.255.255/",
    // Where clouds keep their secrets.
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://[fe80::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    // Hosts that one reader sees and another does not.
    "https://user:pass@127.0.0.1/",
    "https://id.example@127.0.0.1/",
    "https://id.example:443@127.0.0.1/",
    "https://127.0.0.1#@id.example/",
    "https://127.0.0.1\\@id.example/",
    "https://id.example\\@127.0.0.1/",
    "https:///127.0.0.1/",
    "https:127.0.0.1/",
    "https:\\\\127.0.0.1/",
    "//127.0.0.1/",
    "https://127.0.0.1:99999/",
    " https://127.0.0.1/",
    "https://127.0.0.1\t/",
    "https://127.0.0.1\n.id.example/",
    "https://",
    "https://:443/",
    // Other schemes.
    "http://id.example/",
    "HTTP://id.example/",
    "ftp://id.example/",
    "file:///etc/passwd",
    "gopher://id.example/",
    "data:application/json,{}",
    "javascript:alert(1)",
    "ws://id.example/",
    "unix:/var/run/docker.sock",
];
