use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::cdp::Cdp;
use crate::within;

/// A tab, used as a person uses it.
///
/// What is pressed or filled is looked for in the topmost open dialog, if one is open.
pub struct Tab {
    cdp: Arc<Cdp>,
    session: String,
}

impl Tab {
    pub(super) async fn create(cdp: Arc<Cdp>) -> Self {
        let blank = json!({"url": "about:blank"});
        let target = cdp.call(None, "Target.createTarget", blank).await;
        let target = target.expect("a tab");
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = cdp.call(None, "Target.attachToTarget", attach).await;
        let session = session.expect("a session")["sessionId"]
            .as_str()
            .expect("an id")
            .to_owned();
        let tab = Self { cdp, session };
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.size(1440, 900).await;
        tab
    }

    /// Opens a URL and waits until it has loaded.
    pub async fn open(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url})).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.until("the page has loaded", "document.readyState === 'complete'")
            .await;
    }

    /// Waits until an expression holds; a navigation on the way does no harm.
    pub async fn until(&self, what: &str, expression: &str) -> Value {
        let promise = format!(
            "new Promise((resolve) => {{
                // Once it holds there is no more looking, and what a look causes starts no other.
                let looking = false;
                const look = () => {{
                    if (looking) return;
                    looking = true;
                    const seen = ({expression});
                    looking = Boolean(seen);
                    if (seen) {{ observer.disconnect(); resolve(seen); }}
                }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                for (const event of ['load', 'toggle', 'hashchange', 'input']) addEventListener(event, look, true);
                look();
            }})"
        );
        let kept = async {
            loop {
                match self.evaluate(&promise).await {
                    Ok(value) => break value,
                    Err(error) if is_navigation(&error) => tokio::task::yield_now().await,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        };
        let seen = tokio::time::timeout(crate::PATIENCE, kept).await;
        if let Ok(seen) = seen {
            return seen;
        }
        panic!(
            "{what}: has not come in {:?}\nat {}\n{}\nfaults: {:?}",
            crate::PATIENCE,
            self.value("location.href").await,
            self.value("document.body.innerText").await,
            self.faults(),
        );
    }

    /// Waits until a text can be read on the page.
    pub async fn sees(&self, text: &str) {
        let expression = format!("document.body?.innerText.includes({})", json!(text));
        self.until(&format!("to see {text:?}"), &expression).await;
    }

    /// Waits until a text can be read no more.
    pub async fn sees_no_more(&self, text: &str) {
        let expression = format!(
            "document.body && !document.body.innerText.includes({})",
            json!(text)
        );
        self.until(&format!("to see {text:?} no more"), &expression)
            .await;
    }

    /// Waits for what a selector names to be shown.
    pub async fn shows(&self, selector: &str) {
        let expression = format!(
            "[...document.querySelectorAll({})].some((e) => e.checkVisibility())",
            json!(selector)
        );
        self.until(&format!("{selector} is shown"), &expression)
            .await;
    }

    /// How many elements that a selector names are shown now.
    pub async fn count(&self, selector: &str) -> u64 {
        let expression = format!(
            "[...document.querySelectorAll({})].filter((e) => e.checkVisibility()).length",
            json!(selector)
        );
        self.value(&expression).await.as_u64().expect("a number")
    }

    /// The text of what a selector names.
    pub async fn text(&self, selector: &str) -> String {
        let found = format!("document.querySelector({})", json!(selector));
        let text = self
            .until(
                selector,
                &format!("{found} && {{text: {found}.textContent}}"),
            )
            .await;
        text["text"].as_str().expect("text").to_owned()
    }

    /// Clicks what a selector names.
    pub async fn click(&self, selector: &str) {
        let find = format!("[...top.querySelectorAll({})]", json!(selector));
        self.click_found(selector, &find).await;
    }

    /// Clicks the button or link with these words on it.
    pub async fn press(&self, words: &str) {
        let find = format!(
            "[...top.querySelectorAll('button, a, summary')].filter((e) => e.textContent.trim() === {0} || e.querySelector('strong')?.textContent === {0})",
            json!(words)
        );
        self.click_found(words, &find).await;
    }

    /// Puts text into a field, in the place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let find = format!("[...top.querySelectorAll({})]", json!(selector));
        let focus = first(
            &format!("{find}.filter((e) => !e.disabled)"),
            "(e.focus(), e.select?.(), true)",
        );
        self.until(&format!("the field {selector}"), &focus).await;
        if text.is_empty() {
            self.key("Delete", 46).await;
        } else {
            self.call("Input.insertText", json!({"text": text})).await;
        }
    }

    /// Chooses an option by its value.
    pub async fn choose(&self, selector: &str, value: &str) {
        let find = format!(
            "[...top.querySelectorAll({})].filter((e) => [...e.options].some((o) => o.value === {}))",
            json!(selector),
            json!(value)
        );
        let choose = format!(
            "(e.value = {}, e.dispatchEvent(new Event('input', {{bubbles: true}})), e.dispatchEvent(new Event('change', {{bubbles: true}})), true)",
            json!(value)
        );
        self.until(&format!("{value} in {selector}"), &first(&find, &choose))
            .await;
    }

    /// Presses a key that writes nothing.
    pub async fn key(&self, name: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key =
                json!({"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", key).await;
        }
    }

    /// Sets the size of the window.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Sets the colour scheme that the system seems to have, and keeps things still.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Gives the browser a cookie, `name=value`.
    pub async fn cookie(&self, url: &str, cookie: &str) {
        let (name, value) = cookie.split_once('=').expect("name=value");
        let cookie = json!({"url": url, "name": name, "value": value, "httpOnly": true, "sameSite": "Strict", "path": "/"});
        self.call("Network.setCookie", cookie).await;
    }

    /// Runs a script in every page before its own.
    pub async fn script(&self, source: &str) {
        let script = json!({"source": source});
        self.call("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }

    /// Plugs in an authenticator that holds passkeys and lets its owner be recognised.
    pub async fn authenticator(&self) {
        self.call("WebAuthn.enable", json!({})).await;
        let options = json!({"options": {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
        }});
        self.call("WebAuthn.addVirtualAuthenticator", options).await;
    }

    /// Takes a picture of the whole page, for people: `target/screenshots/{name}.png`.
    pub async fn picture(&self, name: &str) {
        let metrics = self.call("Page.getLayoutMetrics", json!({})).await;
        let (seen, all) = (&metrics["cssLayoutViewport"], &metrics["cssContentSize"]);
        // As if the window were as high as the page: what sticks to its edges is where it belongs.
        let [width, height] = ["clientWidth", "clientHeight"].map(|side| pixels(&seen[side]));
        self.size(width, height.max(pixels(&all["height"]))).await;
        let order = json!({"format": "png"});
        let picture = self.call("Page.captureScreenshot", order).await;
        self.size(width, height).await;
        let data = picture["data"].as_str().expect("a picture");
        let data = BASE64_STANDARD.decode(data).expect("base64");
        let folder = pictures();
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), data).expect("it is written");
    }

    /// Nothing is wider than the window.
    pub async fn fits(&self, what: &str) {
        let wide = "(() => {
            const room = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= room) return [];
            return [...document.body.querySelectorAll('*')]
                .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > room + 1)
                .map((e) => `${e.tagName}.${e.className}#${e.id}`).slice(0, 8)
                .concat(`${document.documentElement.scrollWidth} > ${room}`);
        })()";
        let wide = self.value(wide).await;
        assert_eq!(wide, json!([]), "{what} is too wide");
    }

    /// No exception, no error on the console, no violation of the policy, and nothing that could
    /// not be loaded.
    pub fn is_faultless(&self) {
        assert_eq!(self.faults(), Vec::<String>::new());
    }

    /// As [`Tab::is_faultless`], but the server may have refused something: that is the test.
    pub fn is_faultless_but_refused(&self) {
        let mut faults = self.faults();
        faults.retain(|fault| !fault.starts_with("network: "));
        assert_eq!(faults, Vec::<String>::new());
    }

    /// The value of an expression now.
    pub async fn value(&self, expression: &str) -> Value {
        let value = self.evaluate(expression).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn faults(&self) -> Vec<String> {
        self.cdp.faults(&self.session)
    }

    async fn click_found(&self, what: &str, find: &str) {
        // Where it is, once nothing lies over it.
        let spot = "(() => {
            e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
            const box = e.getBoundingClientRect();
            const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
            const hit = document.elementFromPoint(x, y);
            return hit && (e.contains(hit) || hit.contains(e)) ? {x, y} : null;
        })()";
        let found = format!("{find}.filter((e) => e.checkVisibility() && !e.disabled)");
        let spot = first(&found, spot);
        let what = format!("to click {what:?}");
        let mut at = self.until(&what, &spot).await;
        loop {
            // What is still being laid out moves under the mouse.
            let frames =
                "new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))";
            let _ = self.evaluate(frames).await;
            let now = self.until(&what, &spot).await;
            if now == at {
                break;
            }
            at = now;
        }
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at["x"], "y": at["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    async fn evaluate(&self, expression: &str) -> Result<Value, String> {
        let order = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let session = Some(self.session.as_str());
        let mut answer = self.cdp.call(session, "Runtime.evaluate", order).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(details.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.cdp.call(Some(&self.session), method, params);
        let answer = within(method, answer).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

/// An expression over the first element `e` of a list that is looked for in `top`.
fn first(find: &str, then: &str) -> String {
    format!(
        "(() => {{
            if (document.readyState !== 'complete') return null;
            const top = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document;
            const e = ({find})[0];
            return e ? {then} : null;
        }})()"
    )
}

/// Whether an evaluation ended because the page went away under it.
fn is_navigation(error: &str) -> bool {
    ["context", "navigated", "collected"]
        .iter()
        .any(|mark| error.contains(mark))
}

fn pixels(value: &Value) -> u32 {
    let pixels = value.as_u64().and_then(|pixels| u32::try_from(pixels).ok());
    pixels.expect("a length")
}

fn pictures() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let target = test.ancestors().nth(3).expect("target/debug/deps");
    target.join("screenshots")
}
