use askama::Template;
use hexline_services::operators::Operator;

use super::asset;

/// A page of a signed-in operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Apps,
    Keys,
    Tokens,
    Live,
    Webhooks,
    SignInSettings,
    Settings,
    Inspect,
    Audit,
    Operators,
    Health,
    Profile,
}

/// A page of somebody who is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    SetUp,
    SignIn,
    Invitation,
    /// The page that is not there.
    Lost,
}

/// What `page.html` is filled with.
#[derive(Template)]
#[template(path = "console/page.html")]
pub(super) struct PageView {
    page: Page,
    /// From the page to `…/console/`.
    root: &'static str,
    assets: String,
    app: Option<AppHead>,
    operator: String,
    name: String,
    email: String,
    role: &'static str,
    makes_apps: bool,
}

/// What `entrance.html` is filled with.
#[derive(Template)]
#[template(path = "console/entrance.html")]
pub(super) struct EntranceView {
    page: Entrance,
    root: String,
    assets: String,
    version: &'static str,
    /// Whether there is no operator yet.
    is_new: bool,
}

/// What `again.html` is filled with: it leads to the same page.
#[derive(Template)]
#[template(path = "console/again.html")]
pub(super) struct AgainView {
    target: String,
}

/// The app that a page is about.
struct AppHead {
    id: String,
    name: String,
    disabled: bool,
}

impl Page {
    /// Those about one app, as the menu has them.
    pub(super) const OF_APP: [Self; 6] = [
        Self::Keys,
        Self::Tokens,
        Self::Live,
        Self::Webhooks,
        Self::SignInSettings,
        Self::Settings,
    ];

    /// Those about the server, as the menu has them.
    pub(super) const OF_SERVER: [Self; 5] = [
        Self::Apps,
        Self::Inspect,
        Self::Audit,
        Self::Operators,
        Self::Health,
    ];

    /// Its last part of a URL; empty for the first page.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Apps => "",
            Self::Keys => "keys",
            Self::Tokens => "tokens",
            Self::Live => "live",
            Self::Webhooks => "webhooks",
            Self::SignInSettings => "sign-in",
            Self::Settings => "settings",
            Self::Inspect => "inspect",
            Self::Audit => "audit",
            Self::Operators => "operators",
            Self::Health => "health",
            Self::Profile => "profile",
        }
    }

    /// Whether it is for owners only.
    pub(super) fn needs_owner(self) -> bool {
        self == Self::Operators
    }

    /// Its name in the menu.
    fn name(self) -> &'static str {
        match self {
            Self::Apps => "Apps",
            Self::Keys => "Keys",
            Self::Tokens => "Token workbench",
            Self::Live => "Live",
            Self::Webhooks => "Webhooks",
            Self::SignInSettings => "Sign-in",
            Self::Settings => "Settings",
            Self::Inspect => "Inspect a token",
            Self::Audit => "Audit log",
            Self::Operators => "Operators",
            Self::Health => "Health",
            Self::Profile => "Profile",
        }
    }

    /// Its name in a browser's tab.
    fn title(self) -> &'static str {
        self.name()
    }

    /// Its picture in `icons.html`.
    fn icon(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::Keys => "key",
            Self::Tokens | Self::Inspect => "token",
            Self::Live => "live",
            Self::Webhooks => "hook",
            Self::SignInSettings => "door",
            Self::Settings => "settings",
            Self::Audit => "log",
            Self::Operators | Self::Profile => "people",
            Self::Health => "health",
        }
    }

    /// The module that brings it to life.
    fn module(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::SignInSettings => "strategies",
            page => page.path(),
        }
    }
}

impl Entrance {
    /// Its path, and the module that brings it to life.
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::SetUp => "setup",
            Self::SignIn => "sign-in",
            Self::Invitation => "invitation",
            Self::Lost => "lost",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::SetUp => "Set up",
            Self::SignIn => "Sign in",
            Self::Invitation => "Invitation",
            Self::Lost => "Not found",
        }
    }
}

impl PageView {
    pub(super) fn new(
        page: Page,
        root: &'static str,
        app: Option<&hexline_services::apps::App>,
        operator: &Operator,
    ) -> Self {
        Self {
            page,
            root,
            assets: asset::folder(root),
            app: app.map(|app| AppHead {
                id: app.id.to_string(),
                name: app.name.to_string(),
                disabled: app.disabled.is_some(),
            }),
            operator: operator.id.to_string(),
            name: operator.name.to_string(),
            email: operator.email.to_string(),
            role: operator.role.as_str(),
            makes_apps: operator.makes_apps(),
        }
    }
}

impl AgainView {
    pub(super) fn new(target: String) -> Self {
        Self { target }
    }
}

impl EntranceView {
    pub(super) fn new(page: Entrance, root: &str, is_new: bool) -> Self {
        Self {
            page,
            root: root.to_owned(),
            assets: asset::folder(root),
            version: env!("CARGO_PKG_VERSION"),
            is_new,
        }
    }
}
