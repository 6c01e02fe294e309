use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use hexline_model::{Destination, Route};

use crate::Receiver;

/// The live connections of one identity, by device and route.
///
/// Most identities have one connection, and that one costs no table. To find, count, add or remove
/// takes no longer if there are thousands.
#[derive(Default)]
pub(crate) struct ConnectionIndex(Devices);

/// By device. With one connection there is no table; tables hold two and more.
#[derive(Default)]
enum Devices {
    #[default]
    None,
    One(Arc<dyn Receiver>),
    #[expect(clippy::box_collection, reason = "keeps the many with one small")]
    Many(Box<HashMap<Box<str>, Routes>>),
}

/// The connections of one device, never none.
enum Routes {
    One(Arc<dyn Receiver>),
    Many(HashMap<Route, Arc<dyn Receiver>>),
}

impl ConnectionIndex {
    /// Takes a connection in. Its route is new.
    pub(crate) fn add(&mut self, new: Arc<dyn Receiver>) {
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
    pub(crate) fn remove(&mut self, gone: &dyn Receiver) {
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
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, Devices::None)
    }

    /// How many devices are connected.
    pub(crate) fn devices(&self) -> usize {
        match &self.0 {
            Devices::None => 0,
            Devices::One(_) => 1,
            Devices::Many(devices) => devices.len(),
        }
    }

    /// How many connections a device has.
    pub(crate) fn on_device(&self, device: &str) -> usize {
        match &self.0 {
            Devices::One(only) => usize::from(only.address().device() == device),
            Devices::Many(devices) => devices.get(device).map_or(0, Routes::len),
            Devices::None => 0,
        }
    }

    /// Every connection, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Receiver>> {
        let (one, many) = match &self.0 {
            Devices::None => (None, None),
            Devices::One(only) => (Some(only), None),
            Devices::Many(devices) => (None, Some(devices.values())),
        };
        let many = many.into_iter().flatten().flat_map(Routes::iter);
        one.into_iter().chain(many)
    }

    /// Every device and how many connections it has, in no order.
    pub(crate) fn by_device(&self) -> impl Iterator<Item = (&str, usize)> {
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
    pub(crate) fn reached<'a>(
        &'a self,
        to: &Destination,
    ) -> impl Iterator<Item = &'a Arc<dyn Receiver>> {
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

impl Routes {
    fn add(&mut self, new: Arc<dyn Receiver>) {
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

    fn find(&self, route: Route) -> Option<&Arc<dyn Receiver>> {
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

    fn iter(&self) -> impl Iterator<Item = &Arc<dyn Receiver>> {
        let (one, many) = match self {
            Self::One(only) => (Some(only), None),
            Self::Many(routes) => (None, Some(routes.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

fn insert(devices: &mut HashMap<Box<str>, Routes>, new: Arc<dyn Receiver>) {
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

    struct TestReceiver(Address);

    impl Receiver for TestReceiver {
        fn address(&self) -> &Address {
            &self.0
        }

        fn deliver(&self, _message: &Bytes) -> bool {
            true
        }
    }

    fn receiver(device: &str, seed: u64) -> Arc<dyn Receiver> {
        let subject = Subject::parse(&format!("bob/{device}")).expect("well formed");
        let route = Route::generate(&SeededEntropy::new(seed));
        Arc::new(TestReceiver(Address::new(&subject, route)))
    }

    fn reached(index: &ConnectionIndex, to: &str) -> Vec<String> {
        let to = Destination::parse(to).expect("well formed");
        let mut reached: Vec<String> = index
            .reached(&to)
            .map(|r| r.address().to_string())
            .collect();
        reached.sort();
        reached
    }

    #[test]
    fn it_reaches_what_a_plain_list_would_reach_however_they_come_and_go() {
        let devices = ["web", "phone", "tv"].into_iter().cycle();
        let receivers: Vec<Arc<dyn Receiver>> =
            devices.zip(0..12).map(|(d, n)| receiver(d, n)).collect();
        let mut destinations: Vec<String> =
            receivers.iter().map(|r| r.address().to_string()).collect();
        destinations
            .extend(["bob", "bob/web", "bob/phone", "bob/car", "bob/web/x"].map(Into::into));
        let (mut index, mut list) = (ConnectionIndex::default(), Vec::<Arc<dyn Receiver>>::new());
        // Each step adds or removes another one; the strides of 5 and 7 mix their order.
        for step in 0..48_usize {
            let round = step / 12;
            let stride = [1, 5, 7, 5][round];
            let one = &receivers[step * stride % 12];
            if let Some(at) = list.iter().position(|r| r.address() == one.address()) {
                list.remove(at);
                index.remove(one.as_ref());
            } else {
                list.push(Arc::clone(one));
                index.add(Arc::clone(one));
            }
            for to in &destinations {
                let parsed = Destination::parse(to).expect("well formed");
                let mut wanted: Vec<String> = list
                    .iter()
                    .filter(|r| parsed.matches(r.address()))
                    .map(|r| r.address().to_string())
                    .collect();
                wanted.sort();
                assert_eq!(reached(&index, to), wanted, "{to} in step {step}");
            }
            assert_eq!(index.iter().count(), list.len());
            assert_eq!(index.is_empty(), list.is_empty());
            let on = |device| {
                list.iter()
                    .filter(|r| r.address().device() == device)
                    .count()
            };
            let devices = ["web", "phone", "tv", "car"];
            assert_eq!(devices.map(|d| index.on_device(d)), devices.map(on));
            let connected = devices.iter().filter(|d| on(d) > 0).count();
            assert_eq!(index.devices(), connected);
        }
        assert!(index.is_empty());
    }

    #[test]
    fn one_that_is_not_there_is_removed_without_harm() {
        let mut index = ConnectionIndex::default();
        index.add(receiver("web", 1));
        index.remove(receiver("web", 2).as_ref());
        index.add(receiver("web", 3));
        index.remove(receiver("web", 2).as_ref());
        index.remove(receiver("tv", 3).as_ref());
        assert_eq!(index.on_device("web"), 2);
    }

    #[test]
    fn a_single_connection_costs_no_table() {
        let mut index = ConnectionIndex::default();
        let (web, tab, phone) = (receiver("web", 1), receiver("web", 2), receiver("phone", 3));
        for receiver in [&web, &tab, &phone] {
            index.add(Arc::clone(receiver));
        }
        index.remove(phone.as_ref());
        index.remove(web.as_ref());
        assert!(matches!(&index.0, Devices::One(only) if only.address() == tab.address()));
        assert!(size_of::<ConnectionIndex>() <= 24);
    }
}
