use std::future::Future;
use std::pin::Pin;

/// Runs calls that take their time.
///
/// A task that was spawned runs to its end whether or not the connection that it is for still lives; a
/// stop waits for it.
pub trait Spawn: Send + Sync {
    /// Starts a task.
    fn spawn(&self, task: Task);
}

/// A call on its way.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
