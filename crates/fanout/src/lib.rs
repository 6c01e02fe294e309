//! Fan-out between the live connections of one node: who hears a message, and in which order.
//!
//! A connection is a [`Receiver`]; [`Fanout::attach`] gives it a [`Link`], through which it joins
//! channels and sends. Encoded messages are moved; their content is unknown here.
//!
//! * `fanout.rs` is what others ask of the whole node, `link.rs` one connection's own end.
//! * `app.rs` holds an app's connections and channels, `index.rs` the connections of an identity,
//!   `channel.rs` the members of a channel and their order.
//! * `history.rs` is the seam for what a channel remembers, `hold.rs` the pushes that wait until a
//!   member has been told what it missed.
//!
//! Promises, held by `tests/it`:
//!
//! * **Order.** What one link sends reaches any one receiver in the order sent, whatever mix of
//!   direct messages, publishes, joins and leaves it is.
//! * **Presence.** Of two visible members each learns of the other, however they race. A
//!   newcomer's `join_back`s are queued before anything that a member sends it afterwards.
//! * **Reply first.** A join is one step: membership, position and replay are taken, and the reply
//!   is queued, before any `join_back` or push that follows from it.
//! * **Room.** No channel has more visible members than a join allows, however they race: what a
//!   newcomer is told at once is bounded. One too many is a member all the same, a hidden one.
//! * **Never to the sender.** A link's own receiver hears nothing that the link sends.
//! * **Apps are worlds.** Nothing attached under one app hears anything of another.
//! * **No waiting.** No call blocks on a receiver; one that can't take a message loses itself, not
//!   the others.
//! * **No leftovers.** A dropped link has left its channels, and the others were told.
//! * **Complete.** A member whose replay is fetched hears the replay, its reply and what was sent
//!   meanwhile, in this order; where that is too much the reply says that it was not recovered,
//!   and what was sent meanwhile follows all the same.
//!
//! Without history nothing is held: it costs one load per call, and nothing per delivery, member,
//! channel or connection.
//!
//! Locks are taken in this order: a channel's members, what is held, a receiver's own. Nothing but
//! queueing and encoding happens inside them.

mod app;
mod channel;
mod fanout;
mod history;
mod hold;
mod index;
mod link;
mod page;
mod receiver;
mod view;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use channel::{Presence, Published};
pub use fanout::Fanout;
pub use history::{Fetch, History, HistoryRules, Position, Recall, Recalled, Replay};
pub use hold::HoldLimits;
pub use link::{Joined, Joining, Link, PendingJoin};
pub use page::smallest_k;
pub use receiver::{Announcer, Observer, Receiver};
pub use view::{ChannelView, Connected, DeviceView, MemberView};

// Nothing in here panics while it holds a lock but for a receiver's own code; what the lock
// guards is whole even then.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
