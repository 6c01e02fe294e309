use hexline_model::{Address, ChannelName};

/// A channel as an app's server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// How many connections are members.
    pub members: usize,
    /// How many of them are announced.
    pub visible: usize,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Where it is.
    pub address: Address,
    /// Whether it is announced to the others.
    pub visible: bool,
}

/// A device of an identity that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name.
    pub device: Box<str>,
    /// How many connections it has, never none.
    pub connections: usize,
}

/// With what an identity is connected, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connected {
    /// How many devices it has.
    pub devices: usize,
    /// How many connections the device in question has.
    pub on_device: usize,
}
