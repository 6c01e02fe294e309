use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use hexline_model::{Destination, Route};

use crate::Receiver;

/// The live connections of one identity, by device and route.
///
/// Most identities have one connection, and that one costs no table. To find, count, add or remove
/// takes no longer if there are thousands.
pub struct Roster<R: ?Sized>(Devices<R>);

/// By device. With one connection there is no table; tables hold two and more.
enum Devices<R: ?Sized> {
    None,
    One(Arc<R>),
    #[expect(clippy::box_collection, reason = "keeps the many with one small")]
    Many(Box<HashMap<Box<str>, Routes<R>>>),
}

/// The connections of one device, never none.
enum Routes<R: ?Sized> {
    One(Arc<R>),
    Many(HashMap<Route, Arc<R>>),
}

impl<R: Receiver + ?Sized> Roster<R> {
    /// Takes a connection in. Its route is new.
    pub fn add(&mut self, new: Arc<R>) {
        self.0 = match mem::replace(&mut self.0, Devices::None) {
            Devices::None => Devices::One(new),
            Devices::One(old) => {
                let mut devices = HashMap::new();
                insert(&mut devices, old);
                insert(&mut devices, new);
                Devices::Many(Box::new(devices))
            }
            Devices::Many(mut devices) => {
                insert(&mut devices, new);
                Devices::Many(devices)
            }
        };
    }

    /// Strikes the connection with the same device and route off.
    pub fn remove(&mut self, gone: &R) {
        let (device, route) = (gone.address().device(), gone.address().route());
        self.0 = match mem::replace(&mut self.0, Devices::None) {
            Devices::One(only) if only.address().route() == route => Devices::None,
            Devices::Many(mut devices) => {
                if devices.get_mut(device).is_some_and(|r| r.remove(route)) {
                    devices.remove(device);
                }
                // A table of one gives its memory back.
                let mut left = devices.values();
                match (left.next(), left.next()) {
                    (Some(Routes::One(only)), None) => Devices::One(Arc::clone(only)),
                    _ => Devices::Many(devices),
                }
            }
            untouched => untouched,
        };
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Devices::None)
    }

    /// How many devices are connected.
    pub fn devices(&self) -> usize {
        match &self.0 {
            Devices::None => 0,
            Devices::One(_) => 1,
            Devices::Many(devices) => devices.len(),
        }
    }

    /// How many connections a device has.
    pub fn on_device(&self, device: &str) -> usize {
        match &self.0 {
            Devices::One(only) => usize::from(only.address().device() == device),
            Devices::Many(devices) => devices.get(device).map_or(0, Routes::len),
            Devices::None => 0,
        }
    }

    /// Every connection, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        let (one, many) = match &self.0 {
            Devices::None => (None, None),
            Devices::One(only) => (Some(only), None),
            Devices::Many(devices) => (None, Some(devices.values())),
        };
        let many = many.into_iter().flatten().flat_map(Routes::iter);
        one.into_iter().chain(many)
    }

    /// Every device and how many connections it has, in no order.
    pub fn by_device(&self) -> impl Iterator<Item = (&str, usize)> {
        let (one, many) = match &self.0 {
            Devices::None => (None, None),
            Devices::One(only) => (Some((only.address().device(), 1)), None),
            Devices::Many(devices) => (None, Some(devices.iter())),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(device, routes)| (device.as_ref(), routes.len())))
    }

    /// The connections that a destination of this identity names.
    pub fn reached<'a>(&'a self, to: &Destination) -> impl Iterator<Item = &'a Arc<R>> {
        let (mut one, mut device, mut all) = (None, None, None);
        match (&self.0, to) {
            (Devices::None, _) => {}
            (Devices::One(only), _) => one = Some(only).filter(|r| to.matches(r.address())),
            (Devices::Many(_), Destination::Identity(_)) => all = Some(self),
            (Devices::Many(devices), Destination::Device(subject)) => {
                device = devices.get(subject.device.as_str());
            }
            (Devices::Many(devices), Destination::Connection(subject, route)) => {
                one = devices
                    .get(subject.device.as_str())
                    .zip(Route::parse(route))
                    .and_then(|(routes, route)| routes.find(route));
            }
        }
        one.into_iter()
            .chain(device.into_iter().flat_map(Routes::iter))
            .chain(all.into_iter().flat_map(Self::iter))
    }
}

impl<R: ?Sized> Default for Roster<R> {
    fn default() -> Self {
        Self(Devices::None)
    }
}

impl<R: Receiver + ?Sized> Routes<R> {
    fn add(&mut self, new: Arc<R>) {
        match self {
            Self::One(old) => {
                let both = [Arc::clone(old), new].map(|r| (r.address().route(), r));
                *self = Self::Many(HashMap::from(both));
            }
            Self::Many(routes) => {
                routes.insert(new.address().route(), new);
            }
        }
    }

    /// Returns whether none is left.
    fn remove(&mut self, gone: Route) -> bool {
        match self {
            Self::One(only) => only.address().route() == gone,
            Self::Many(routes) => {
                routes.remove(&gone);
                let mut left = routes.values();
                if let (Some(last), None) = (left.next().cloned(), left.next()) {
                    *self = Self::One(last);
                }
                false
            }
        }
    }

    fn find(&self, route: Route) -> Option<&Arc<R>> {
        match self {
            Self::One(only) => Some(only).filter(|r| r.address().route() == route),
            Self::Many(routes) => routes.get(&route),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(routes) => routes.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        let (one, many) = match self {
            Self::One(only) => (Some(only), None),
            Self::Many(routes) => (None, Some(routes.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

fn insert<R: Receiver + ?Sized>(devices: &mut HashMap<Box<str>, Routes<R>>, new: Arc<R>) {
    let device = new.address().device();
    if let Some(routes) = devices.get_mut(device) {
        routes.add(new);
    } else {
        devices.insert(device.into(), Routes::One(new));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hexline_model::{Address, SeededEntropy, Subject};

    use super::*;

    struct Ear(Address);

    impl Receiver for Ear {
        fn address(&self) -> &Address {
            &self.0
        }

        fn deliver(&self, _message: &Bytes) -> bool {
            true
        }
    }

    fn ear(device: &str, seed: u64) -> Arc<Ear> {
        let subject = Subject::parse(&format!("bob/{device}")).expect("well formed");
        let route = Route::generate(&SeededEntropy::new(seed));
        Arc::new(Ear(Address::new(&subject, route)))
    }

    fn reached(roster: &Roster<Ear>, to: &str) -> Vec<String> {
        let to = Destination::parse(to).expect("well formed");
        let mut reached: Vec<String> = roster.reached(&to).map(|e| e.0.to_string()).collect();
        reached.sort();
        reached
    }

    #[test]
    fn it_reaches_what_a_plain_list_would_reach_however_they_come_and_go() {
        let devices = ["web", "phone", "tv"].into_iter().cycle();
        let ears: Vec<Arc<Ear>> = devices.zip(0..12).map(|(d, n)| ear(d, n)).collect();
        let mut destinations: Vec<String> = ears.iter().map(|e| e.0.to_string()).collect();
        destinations
            .extend(["bob", "bob/web", "bob/phone", "bob/car", "bob/web/x"].map(Into::into));
        let (mut roster, mut list) = (Roster::<Ear>::default(), Vec::<Arc<Ear>>::new());
        // Each step adds or removes another one; the strides of 5 and 7 mix their order.
        for step in 0..48_usize {
            let round = step / 12;
            let stride = [1, 5, 7, 5][round];
            let one = &ears[step * stride % 12];
            if let Some(at) = list.iter().position(|e| e.0 == one.0) {
                list.remove(at);
                roster.remove(one);
            } else {
                list.push(Arc::clone(one));
                roster.add(Arc::clone(one));
            }
            for to in &destinations {
                let parsed = Destination::parse(to).expect("well formed");
                let mut wanted: Vec<String> = list
                    .iter()
                    .filter(|e| parsed.matches(&e.0))
                    .map(|e| e.0.to_string())
                    .collect();
                wanted.sort();
                assert_eq!(reached(&roster, to), wanted, "{to} in step {step}");
            }
            assert_eq!(roster.iter().count(), list.len());
            assert_eq!(roster.is_empty(), list.is_empty());
            let on = |device| list.iter().filter(|e| e.0.device() == device).count();
            let devices = ["web", "phone", "tv", "car"];
            assert_eq!(devices.map(|d| roster.on_device(d)), devices.map(on));
            let connected = devices.iter().filter(|d| on(d) > 0).count();
            assert_eq!(roster.devices(), connected);
        }
        assert!(roster.is_empty());
    }

    #[test]
    fn one_that_is_not_there_is_removed_without_harm() {
        let mut roster = Roster::<Ear>::default();
        roster.add(ear("web", 1));
        roster.remove(&ear("web", 2));
        roster.add(ear("web", 3));
        roster.remove(&ear("web", 2));
        roster.remove(&ear("tv", 3));
        assert_eq!(roster.on_device("web"), 2);
    }

    #[test]
    fn a_single_connection_costs_no_table() {
        let mut roster = Roster::<Ear>::default();
        let (web, tab, phone) = (ear("web", 1), ear("web", 2), ear("phone", 3));
        for ear in [&web, &tab, &phone] {
            roster.add(Arc::clone(ear));
        }
        roster.remove(&phone);
        roster.remove(&web);
        assert!(matches!(&roster.0, Devices::One(only) if only.0 == tab.0));
        assert!(size_of::<Roster<dyn Receiver>>() <= 24);
    }
}
