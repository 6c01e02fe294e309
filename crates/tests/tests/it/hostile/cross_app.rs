//! Every operation with the ids of another app, in its path, its query and its body: by that
//! neighbour's admin, viewer, app server, user and sign-in page, and by nobody. Each is refused as
//! fits, or is told exactly what it would be told of something that does not exist; nothing of the
//! other app is in the answer and nothing there has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use hexline_tests::api::{ApiWorld, Credentials, Hints, Input, Operation, Place};
use hexline_tests::{Socket, TestApp, claims, within};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_tells_or_changes_anything_of_another_app() {
    let mut scene = Scene::start().await;
    let mut faults = Vec::new();
    let mut tried = 0;
    for operation in scene.world.document.operations() {
        for fault in scene.attack(&operation).await {
            faults.push(format!("{}: {fault}", operation.name()));
        }
        tried += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried > 100, "{tried} operations");
}

/// An app with a user online, and its neighbours.
struct Scene {
    world: ApiWorld,
    victim: TestApp,
    victoria: Socket,
    neighbours: Vec<Neighbour>,
    foe: TestApp,
    /// How many operators of the neighbour's there have been.
    invited: usize,
}

/// Somebody of another app.
struct Neighbour {
    who: &'static str,
    /// The scheme that lets such a caller in; empty for nobody.
    scheme: &'static str,
    credentials: Credentials,
}

/// What an attempt was answered.
struct Answer {
    status: u16,
    place: String,
    text: String,
    /// What was sent, for what may be said back.
    sent: String,
}

impl Scene {
    async fn start() -> Self {
        let mut world = ApiWorld::start().await;
        let victim = world.app().await;
        let foe = world.app().await;
        let console = format!("/apps/{}", victim.id());
        let hook = json!({"url": "https://victims.example/hook", "events": ["app.updated"]});
        world
            .operator
            .post(&format!("{console}/webhooks"), &hook)
            .await;
        let acme = json!({"id": "acme", "issuer": "https://victims.example", "client_id": "vc-9",
            "client_secret": "victims-secret"});
        let sign_in = format!("{console}/sign-in");
        world.operator.put(&sign_in, &json!({"oidc": [acme]})).await;
        victim.revoke_token("victims-jti").await;
        let mut victoria = victim.connect("victoria/phone-77").await;
        victoria
            .call("signal.join", json!({"id": "vault", "presence": true}))
            .await;
        let neighbours = vec![
            Neighbour::new("an admin", "consoleSession", Credentials::None),
            Neighbour::new("a viewer", "consoleSession", Credentials::None),
            Neighbour::new(
                "an app's server",
                "platformToken",
                Credentials::Bearer(foe.platform_token()),
            ),
            Neighbour::new(
                "a user",
                "clientToken",
                Credentials::Bearer(foe.token("mallory/web")),
            ),
            Neighbour::new(
                "a sign-in page",
                "apikey",
                Credentials::ApiKey(foe.api_key().await),
            ),
            Neighbour::new("nobody", "", Credentials::None),
        ];
        Self {
            world,
            victim,
            victoria,
            neighbours,
            foe,
            invited: 0,
        }
    }

    /// What is wrong with an operation.
    async fn attack(&mut self, operation: &Operation) -> Vec<String> {
        let mut faults = Vec::new();
        let ids = self.ids(operation).await;
        for parameter in &operation.parameters {
            if parameter.place == Place::Path && !ids.contains_key(&parameter.name) {
                let name = &parameter.name;
                faults.push(format!("ApiWorld::ids knows no {name} of the other app"));
            }
        }
        let unknown = unknown(&ids, &self.victim);
        let secrets = self.markers(&ids);
        let before = self.snapshot().await;
        let mut compared = 0;
        for at in 0..self.neighbours.len() {
            for full in [false, true] {
                let known = self.attempt_in_turn(operation, at, &ids, full).await;
                let twin = self.attempt_in_turn(operation, at, &unknown, full).await;
                let neighbour = &self.neighbours[at];
                let mut note = |fault: String| faults.push(format!("{}: {fault}", neighbour.who));
                compared += usize::from(!known.is_throttled() && !twin.is_throttled());
                if let Err(fault) = judge(operation, neighbour.scheme, &known, &twin) {
                    note(fault);
                }
                for secret in &secrets {
                    if known.text.contains(secret) && !known.sent.contains(secret) {
                        note(format!("{} told {secret}", known.status));
                    }
                    if known.status >= 400 && known.text.contains(secret) {
                        note(format!("{} says {secret} back", known.status));
                    }
                }
            }
        }
        if compared == 0 {
            faults.push("each attempt was throttled, so none was compared".to_owned());
        }
        let after = self.snapshot().await;
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            if before != after {
                faults.push(format!("{path} has changed from {before} to {after}"));
            }
        }
        let heard = self.victoria.after_ping().await;
        if !heard.is_empty() {
            faults.push(format!("the other app's user heard {heard:?}"));
        }
        faults.sort();
        faults.dedup();
        faults
    }

    /// An attempt, later if too many went before it.
    async fn attempt_in_turn(
        &mut self,
        operation: &Operation,
        at: usize,
        ids: &Hints,
        full: bool,
    ) -> Answer {
        for _ in 0..3 {
            self.sign_in_again(at).await;
            let answer = self.attempt(operation, at, ids, full).await;
            if !answer.is_throttled() {
                return answer;
            }
            self.world.server.advance(Duration::from_mins(1));
            // The other app's user shows that it is there, by what no counter of it counts.
            self.victoria
                .message(Message::Ping(Vec::new().into()))
                .await;
            self.victoria.pong().await;
        }
        self.attempt(operation, at, ids, full).await
    }

    /// The other app's ids that an operation takes, made by who may make them.
    async fn ids(&self, operation: &Operation) -> Hints {
        let owner = || Credentials::Cookie(self.world.operator.cookie().to_owned());
        let rightful = match operation.schemes.first().map(String::as_str) {
            Some("platformToken") => Credentials::Bearer(self.victim.platform_token()),
            Some("consoleSession") => owner(),
            _ => Credentials::None,
        };
        let mut ids = self.world.ids(&self.victim, operation, &rightful).await;
        for (name, value) in [
            ("identity", json!("victoria")),
            ("device", json!("phone-77")),
            ("channel", json!("vault")),
            ("to", json!("victoria")),
            ("actor", json!("victoria")),
            ("search", json!("victoria")),
            ("prefix", json!("vault")),
            ("jti", json!("victims-jti")),
            ("token", json!(self.victim.token("victoria/phone-77"))),
            (
                "subject_token",
                json!(self.victim.token("victoria/phone-77")),
            ),
            (
                "refresh_token",
                json!(self.victim.token("victoria/phone-77")),
            ),
        ] {
            ids.insert(name.to_owned(), value);
        }
        ids
    }

    /// What no neighbour may read anywhere.
    fn markers(&self, ids: &Hints) -> BTreeSet<String> {
        let fixed = ["victoria", "phone-77", "victims", "vc-9"].map(str::to_owned);
        let own = [
            self.victim.id(),
            self.victim.key_id(),
            self.victim.secret().to_owned(),
        ];
        let of_path = ["key", "webhook", "delivery"].map(|name| ids.get(name));
        let of_path = of_path.into_iter().flatten().filter_map(Value::as_str);
        let all = fixed.into_iter().chain(own);
        all.chain(of_path.map(str::to_owned)).collect()
    }

    async fn attempt(&self, operation: &Operation, at: usize, ids: &Hints, full: bool) -> Answer {
        let input = Input::valid(&self.world.document, operation, ids, full);
        let body = input.body.as_ref().map_or(&[][..], |(_, body)| body);
        let body = String::from_utf8_lossy(body);
        // What a token says can be read by anyone who has it.
        let inside = ids["token"].as_str().filter(|token| body.contains(token));
        let inside = inside.map_or(Value::Null, claims);
        let sent = format!("{} {} {body} {inside}", input.path, input.query);
        let credentials = &self.neighbours[at].credentials;
        let response = self.world.send(operation, &input, credentials).await;
        let mut response = response.expect("an answer");
        let header = |name| {
            let value = response.headers().get(name);
            let value = value.and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (place, kind) = (header(LOCATION), header(CONTENT_TYPE));
        let status = response.status().as_u16();
        let text = if kind.starts_with("text/event-stream") {
            // The stream has no end; what is there at first comes in one piece.
            within("an event", response.chunk())
                .await
                .map(Option::unwrap_or_default)
        } else {
            response.bytes().await
        };
        let text = String::from_utf8_lossy(&text.expect("a body")).into_owned();
        Answer {
            status,
            place,
            text,
            sent,
        }
    }

    /// Begins the session of an operator who is not signed in, or not any more.
    async fn sign_in_again(&mut self, at: usize) {
        let neighbour = &self.neighbours[at];
        if neighbour.scheme != "consoleSession" {
            return;
        }
        let session = self.world.operation("get", "/console/api/session");
        let input = Input::valid(&self.world.document, &session, &Hints::new(), false);
        let signed_in = self
            .world
            .send(&session, &input, &neighbour.credentials)
            .await;
        if signed_in.expect("an answer").status().is_success() {
            return;
        }
        let role = neighbour.who.split(' ').next_back().expect("a role");
        self.invited += 1;
        let email = format!("{role}-{}@neighbours.example", self.invited);
        let apps = [&*self.foe.id()];
        let (owner, server) = (&self.world.operator, &self.world.server);
        let operator = owner.invited(server, &email, role, Some(&apps)).await;
        let cookie = operator.cookie().to_owned();
        self.neighbours[at].credentials = Credentials::Cookie(cookie);
    }

    /// What the Console shows of the other app, less what only counts.
    async fn snapshot(&self) -> Vec<(String, Value)> {
        let slot = "{app}";
        let mut shown = Vec::new();
        for operation in self.world.document.operations() {
            let Some(path) = operation.path.strip_prefix("/console/api") else {
                continue;
            };
            let slots = path.matches('{').count();
            let is_stream = path.ends_with("/live");
            if operation.method == "get" && path.contains(slot) && slots == 1 && !is_stream {
                let path = path.replace(slot, &self.victim.id());
                let mut value = self.world.operator.get(&path).await;
                forget_counts(&mut value);
                shown.push((path, value));
            }
        }
        assert!(shown.len() > 5, "{shown:?}");
        shown
    }
}

impl Neighbour {
    fn new(who: &'static str, scheme: &'static str, credentials: Credentials) -> Self {
        Self {
            who,
            scheme,
            credentials,
        }
    }
}

impl Answer {
    fn is_throttled(&self) -> bool {
        self.status == 429
    }

    /// What it says, less ids, numbers and what was sent: verdicts, kinds, what is there at all.
    fn outline(&self) -> Option<Value> {
        fn reduce(value: &mut Value, sent: &str) {
            match value {
                Value::Object(members) => {
                    // Of no app: whether the calendar has gone on while the test held the time.
                    members.remove("clock");
                    members.values_mut().for_each(|v| reduce(v, sent));
                }
                Value::Array(items) => items.iter_mut().for_each(|v| reduce(v, sent)),
                Value::String(text) if text.len() > 12 || sent.contains(&**text) => text.clear(),
                Value::Number(_) => *value = json!(0),
                _ => {}
            }
        }
        let mut value = serde_json::from_str(&self.text).ok()?;
        reduce(&mut value, &self.sent);
        Some(value)
    }
}

/// Whether an answer is one that a stranger to the app may get.
fn judge(operation: &Operation, scheme: &str, known: &Answer, twin: &Answer) -> Result<(), String> {
    let status = known.status;
    let shown: String = known.text.chars().take(200).collect();
    if status >= 500 {
        return Err(format!("{status}: {shown}"));
    }
    let is_guarded = !operation.schemes.is_empty();
    let is_let_in = operation.schemes.iter().any(|known| known == scheme);
    let to_sign_in = status == 303 && known.place.contains("sign-in");
    // A public id is no secret: without one the query does not fit.
    let without_id = status == 400 && operation.schemes == ["apikey"];
    let refused = [401, 403, 404].contains(&status) || to_sign_in || without_id;
    if is_guarded && !is_let_in && !refused {
        return Err(format!("{status}, expected 401, 403 or 404: {shown}"));
    }
    let names_app = operation.path.contains("{app}");
    if is_let_in && names_app && ![403, 404].contains(&status) {
        return Err(format!("{status}, expected 403 or 404: {shown}"));
    }
    let same = if known.status < 400 && twin.status < 400 {
        known.outline() == twin.outline()
    } else {
        (known.status, &known.text) == (twin.status, &twin.text)
    };
    if known.is_throttled() || twin.is_throttled() || same {
        return Ok(());
    }
    Err(format!(
        "{status} {shown}, but of what is unknown {} {}",
        twin.status, twin.text
    ))
}

/// The same ids, changed so that nothing has them, and of the same form.
fn unknown(ids: &Hints, victim: &TestApp) -> Hints {
    let change = |(name, value): (&String, &Value)| {
        let Some(text) = value.as_str() else {
            return (name.clone(), value.clone());
        };
        let is_id = text.len() >= 16 && text.chars().filter(char::is_ascii_hexdigit).count() >= 16;
        let other = match name.as_str() {
            "token" | "subject_token" | "refresh_token" => {
                victim.token_of("00000000000000000000000000000000", "victoria/phone-77")
            }
            // Settings, not ids.
            "url" | "name" | "email" | "algorithm" | "file" | "version" => text.to_owned(),
            _ if is_id => text.chars().map(another_digit).collect(),
            _ => format!("{text}-nowhere"),
        };
        (name.clone(), json!(other))
    };
    ids.iter().map(change).collect()
}

fn another_digit(digit: char) -> char {
    match digit {
        '0'..='8' | 'a'..='e' => char::from(u8::try_from(digit).expect("ASCII") + 1),
        '9' => '0',
        'f' => 'a',
        other => other,
    }
}

/// Forgets what changes by itself: counters, and when something was last used.
fn forget_counts(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !COUNTS.contains(&name.as_str()));
            members.values_mut().for_each(forget_counts);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_counts),
        _ => {}
    }
}

const COUNTS: &[&str] = &[
    "last_used_ms",
    "heard_ms",
    "received",
    "sent",
    "pending",
    "attempts",
    "health",
];
