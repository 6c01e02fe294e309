use aws_lc_rs::digest::{SHA256, digest};
use hexline_model::{AppId, ChannelName, Identity};

/// What a message between nodes is about: a hash, so that nothing that a client wrote stands in the
/// name of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic([u8; 16]);

impl Topic {
    /// A channel of an app.
    pub fn channel(app: AppId, name: &ChannelName) -> Self {
        Self::of("channel", app, name.as_str())
    }

    /// An identity of an app.
    pub fn identity(app: AppId, identity: &Identity) -> Self {
        Self::of("identity", app, identity.as_str())
    }

    /// Returns the bytes, as they stand in a frame.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(kind: &str, app: AppId, name: &str) -> Self {
        // Kinds and ids contain no `/`.
        let hash = digest(&SHA256, format!("{kind}/{app}/{name}").as_bytes());
        let mut topic = [0; 16];
        topic.copy_from_slice(&hash.as_ref()[..16]);
        Self(topic)
    }
}

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn kinds_apps_and_names_are_told_apart() {
        let apps = [1, 2].map(|seed| AppId::generate(&SeededEntropy::new(seed)));
        let channel = |app, name| Topic::channel(app, &ChannelName::parse(name).expect("a name"));
        let identity = Identity::parse("a").expect("an identity");
        let mut topics = vec![
            channel(apps[0], "a"),
            channel(apps[0], "b"),
            channel(apps[1], "a"),
            Topic::identity(apps[0], &identity),
        ];
        assert_eq!(topics[0], channel(apps[0], "a"));
        topics.sort();
        topics.dedup();
        assert_eq!(topics.len(), 4);
    }
}
