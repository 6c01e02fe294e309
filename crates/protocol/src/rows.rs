//! What a row of the table of methods says, and the macros that make one.
//!
//! A service's file has its rows in [`methods!`] and [`pushes!`]. From a row follow the variant of
//! the service's `Call`, how its parameters are read, the type of its answer ([`Method`]), its
//! description in `/openrpc.json`, and, if the row names one, its HTTP twin in `/openapi.json`.

use std::borrow::Cow;

use hexline_model::Service;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::code::ErrorCode;

/// The parameters of a method, tied to what it answers with.
pub trait Method {
    /// The result.
    type Answer: Serialize + DeserializeOwned + ToSchema;
    /// The row in the table.
    const ROW: Row;
}

/// What the table says of a method.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// `service.verb`, or with a noun between the two.
    pub name: &'static str,
    /// One line: verb and object.
    pub summary: &'static str,
    /// The grant that it belongs to; none is needed if absent.
    pub grant: Option<Service>,
    /// Whether members that the server does not know go through to others.
    pub kind: Kind,
    /// Whether it concerns the caller's own connection, so that it needs one.
    pub needs_socket: bool,
    /// The same over HTTP, below `/client/v1`.
    pub http: Option<HttpRoute>,
    /// How it is refused, beyond what any call may be refused with.
    pub errors: &'static [ErrorCode],
    /// The type of its parameters.
    pub params: Shape,
    /// The type of its result.
    pub answer: Shape,
}

/// What the table says of a push.
#[derive(Debug, Clone, Copy)]
pub struct PushRow {
    /// The method that it comes as.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Whether members that the sender wrote come with it.
    pub kind: Kind,
    /// The type of its parameters.
    pub params: Shape,
}

/// What becomes of members that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They are passed on, byte for byte.
    Relay,
    /// They are ignored.
    Typed,
}

/// The HTTP twin of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRoute {
    /// The HTTP method.
    pub verb: Verb,
    /// The path below `/client/v1`; what stands in braces are parameters of the method.
    pub path: &'static str,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET`: the parameters come in path and query.
    Get,
    /// `POST`: the parameters come in path and body.
    Post,
    /// `PUT`, likewise.
    Put,
    /// `PATCH`, likewise.
    Patch,
    /// `DELETE`: the parameters come in path and query.
    Delete,
}

/// How a type describes itself.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    name: fn() -> Cow<'static, str>,
    schema: fn() -> RefOr<Schema>,
    inner: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl HttpRoute {
    /// The names of the parameters in the path.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.path.split('{').skip(1);
        parts.filter_map(|part| part.split('}').next())
    }
}

impl Verb {
    /// As HTTP writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a request carries its parameters in a body.
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

impl Shape {
    pub(crate) const fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name,
            schema: T::schema,
            inner: T::schemas,
        }
    }

    /// Its name among the components of a document.
    pub fn name(&self) -> Cow<'static, str> {
        (self.name)()
    }

    /// Its schema.
    pub fn schema(&self) -> RefOr<Schema> {
        (self.schema)()
    }

    /// It and all that it refers to, by name.
    pub fn components(&self) -> Vec<(String, RefOr<Schema>)> {
        let mut all = vec![(self.name().into_owned(), self.schema())];
        (self.inner)(&mut all);
        all
    }
}

/// The methods of a service: each row is a variant of `Call`, how its parameters are read, what it
/// answers with, and what the documents say of it.
///
/// `grant: None` is no grant, `socket: yes` needs a WebSocket, `http: None` has no twin. A row of
/// the kind `relay` reads its parameters by its own `read(Fields)`, one of the kind `typed` by
/// `Deserialize`.
macro_rules! methods {
    (
        $(#[$about:meta])*
        pub enum $call:ident $(<$lifetime:lifetime>)?;
        $(
            #[doc = $summary:literal]
            $name:literal => $variant:ident($params:ident $(<$borrowed:lifetime>)?) -> $answer:ty,
                grant: $grant:ident, kind: $kind:ident, socket: $socket:ident,
                http: $verb:ident $($path:literal)?, errors: [$($error:ident),*];
        )+
    ) => {
        $(#[$about])*
        pub enum $call $(<$lifetime>)? {
            $(#[doc = concat!("`", $name, "`")] $variant($params $(<$borrowed>)?),)+
        }

        impl $(<$lifetime>)? $call $(<$lifetime>)? {
            /// The rows of this service.
            pub const ROWS: &'static [$crate::rows::Row] =
                &[$(<$params as $crate::rows::Method>::ROW,)+];

            /// Reads the parameters of a method; `None` if there is no such method.
            pub(crate) fn parse(
                method: &str,
                params: Option<& $($lifetime)? serde_json::value::RawValue>,
            ) -> Option<Result<Self, $crate::error::CallError>> {
                use $crate::rows::read_params;
                Some(match method {
                    $($name => {
                        read_params!($kind, $params, params).map(Self::$variant)
                    })+
                    _ => return None,
                })
            }

            /// The row of the method that is called.
            pub fn row(&self) -> &'static $crate::rows::Row {
                match self {
                    $(Self::$variant(_) => &<$params as $crate::rows::Method>::ROW,)+
                }
            }
        }

        $(
            impl $(<$borrowed>)? $crate::rows::Method for $params $(<$borrowed>)? {
                type Answer = $answer;
                const ROW: $crate::rows::Row = $crate::rows::Row {
                    name: $name,
                    summary: $summary.trim_ascii(),
                    grant: $crate::rows::optional!($grant, hexline_model::Service::$grant),
                    kind: $crate::rows::kind!($kind),
                    needs_socket: $crate::rows::flag!($socket),
                    http: $crate::rows::http!($verb $($path)?),
                    errors: &[$($crate::ErrorCode::$error),*],
                    params: $crate::rows::Shape::of::<$params>(),
                    answer: $crate::rows::Shape::of::<$answer>(),
                };
            }
        )+
    };
}

/// The pushes of a service: each row is a variant of `Push`, a constant to encode it by, and what
/// the documents say of it.
macro_rules! pushes {
    (
        $(#[$about:meta])*
        pub enum $push:ident<$lifetime:lifetime>;
        $(
            #[doc = $summary:literal]
            $name:literal => $variant:ident($params:ident<$borrowed:lifetime>) as $row:ident,
                kind: $kind:ident;
        )+
    ) => {
        $(#[$about])*
        pub enum $push<$lifetime> {
            $(#[doc = $summary] $variant($params<$borrowed>),)+
        }

        $(
            const $row: $crate::rows::PushRow = $crate::rows::PushRow {
                name: $name,
                summary: $summary.trim_ascii(),
                kind: $crate::rows::kind!($kind),
                params: $crate::rows::Shape::of::<$params>(),
            };
        )+

        impl<$lifetime> $push<$lifetime> {
            /// The rows of this service.
            pub const ROWS: &'static [$crate::rows::PushRow] = &[$($row,)+];

            /// Reads a push; `None` if it is none of this service.
            pub(crate) fn parse(
                method: &str,
                params: Option<&$lifetime serde_json::value::RawValue>,
            ) -> Option<Result<Self, $crate::error::CallError>> {
                use $crate::rows::read_params;
                Some(match method {
                    $($name => {
                        read_params!($kind, $params, params).map(Self::$variant)
                    })+
                    _ => return None,
                })
            }
        }
    };
}

macro_rules! read_params {
    (relay, $type:ident, $params:ident) => {
        $crate::fields::Fields::of($params).and_then($type::read)
    };
    (typed, $type:ident, $params:ident) => {
        $crate::fields::Fields::of($params).and_then($crate::params::read)
    };
}

macro_rules! optional {
    (None, $value:expr) => {
        None
    };
    ($some:ident, $value:expr) => {
        Some($value)
    };
}

macro_rules! kind {
    (relay) => {
        $crate::rows::Kind::Relay
    };
    (typed) => {
        $crate::rows::Kind::Typed
    };
}

macro_rules! flag {
    (yes) => {
        true
    };
    (no) => {
        false
    };
}

macro_rules! http {
    (None) => {
        None
    };
    (GET $path:literal) => {
        Some($crate::rows::HttpRoute {
            verb: $crate::rows::Verb::Get,
            path: $path,
        })
    };
    (POST $path:literal) => {
        Some($crate::rows::HttpRoute {
            verb: $crate::rows::Verb::Post,
            path: $path,
        })
    };
    (PUT $path:literal) => {
        Some($crate::rows::HttpRoute {
            verb: $crate::rows::Verb::Put,
            path: $path,
        })
    };
    (PATCH $path:literal) => {
        Some($crate::rows::HttpRoute {
            verb: $crate::rows::Verb::Patch,
            path: $path,
        })
    };
    (DELETE $path:literal) => {
        Some($crate::rows::HttpRoute {
            verb: $crate::rows::Verb::Delete,
            path: $path,
        })
    };
}

pub(crate) use {flag, http, kind, methods, optional, pushes, read_params};
