use serde_json::json;

/// The frames of one route: everything but the due time is written once.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    before: String,
    after: String,
}

impl Template {
    /// A channel message.
    pub(crate) fn publish(channel: &str, padding: u32) -> Self {
        Self::new("signal.publish", "id", channel, padding)
    }

    /// A direct message.
    pub(crate) fn send(to: &str, padding: u32) -> Self {
        Self::new("signal.send", "to", to, padding)
    }

    fn new(method: &str, member: &str, value: &str, padding: u32) -> Self {
        let value = json!(value);
        let padding = "x".repeat(padding as usize);
        Self {
            before: format!(
                r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"{member}":{value},{MARK}"#
            ),
            after: format!(r#","pad":"{padding}"}}}}"#),
        }
    }

    /// The frame of the message that was due then.
    pub(crate) fn frame(&self, due_ns: u64) -> String {
        format!("{}{due_ns}{}", self.before, self.after)
    }
}

/// When the message in this frame was due; `None` if it is none of ours. A search instead of a
/// JSON parser: this process shares the machine with the one that is measured.
pub(crate) fn due_ns(frame: &str) -> Option<u64> {
    let (_, rest) = frame.split_once(MARK)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

const MARK: &str = r#""t":"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_due_time_survives_the_way_there_and_back() {
        for template in [Template::publish("a\"b", 10), Template::send("bob", 0)] {
            let frame = template.frame(123_456_789_012);
            let value: serde_json::Value = serde_json::from_str(&frame).expect("JSON");
            assert_eq!(value["params"]["t"], 123_456_789_012_u64);
            assert_eq!(due_ns(&frame), Some(123_456_789_012));
            // As a server may write it anew: other members around, another order.
            let pushed = format!(r#"{{"params":{},"method":"x"}}"#, value["params"]);
            assert_eq!(due_ns(&pushed), Some(123_456_789_012));
        }
    }

    #[test]
    fn other_frames_have_no_due_time() {
        for frame in [
            "",
            "_pong",
            r#"{"id":1,"result":{}}"#,
            r#"{"t":"x"}"#,
            r#"{"t":1"#,
        ] {
            assert_eq!(due_ns(frame), None, "{frame}");
        }
    }
}
