use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hexline_gateway::{Spawn, Task};
use hexline_model::{Clock, Monotonic};
use pin_project_lite::pin_project;
use tokio::task::{AbortHandle, Id, JoinHandle};
use tokio_util::task::TaskTracker;

/// Tasks that are over before their server is: by themselves, or cut off at a deadline.
///
/// Cutting off goes by handles and not by a token that every task would have to watch: a task of a
/// live connection pays at its beginning and its end, and not each time that it runs.
#[derive(Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    live: Live,
}

type Live = Arc<Mutex<Listing>>;

#[derive(Debug, Default)]
struct Listing {
    tasks: HashMap<Id, AbortHandle>,
    /// The deadline has passed: nothing is started any more.
    is_over: bool,
}

pin_project! {
    /// A task that crosses itself out when it is over.
    struct Listed<F> {
        #[pin]
        future: F,
        live: Live,
        entry: Option<Entry>,
    }
}

/// Crosses out the task that drops it.
struct Entry(Live);

impl Tasks {
    /// Starts a task. After the deadline of [`end`](Self::end) none: the future is dropped, and who
    /// waits for it hears that it was cut off.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Under the lock, so that no task crosses itself out before it is listed, and none is missed
        // when those that are left are cut off.
        let mut live = lock(&self.live);
        if live.is_over {
            // What goes with the future may start another.
            drop(live);
            drop(future);
            let task = self.tracker.spawn(std::future::pending());
            task.abort();
            return task;
        }
        let task = self.tracker.spawn(Listed {
            future,
            live: Arc::clone(&self.live),
            entry: None,
        });
        live.tasks.insert(task.id(), task.abort_handle());
        task
    }

    /// Waits until all of them are over; at the deadline those that are left are cut off. Gives how
    /// many those were.
    pub async fn end(&self, deadline: Monotonic, clock: &dyn Clock) -> usize {
        self.tracker.close();
        let over = clock.timeout_at(deadline, self.tracker.wait()).await;
        if over.is_ok() {
            return 0;
        }
        let left = {
            let mut live = lock(&self.live);
            live.is_over = true;
            std::mem::take(&mut live.tasks)
        };
        for task in left.values() {
            task.abort();
        }
        self.tracker.wait().await;
        left.len()
    }
}

impl Spawn for Tasks {
    fn spawn(&self, task: Task) {
        drop(Self::spawn(self, task));
    }
}

impl<F: Future> Future for Listed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Not before the task runs: only then is it the one whose end this is.
        let live = this.live;
        this.entry.get_or_insert_with(|| Entry(Arc::clone(live)));
        this.future.poll(cx)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(id) = tokio::task::try_id() {
            lock(&self.0).tasks.remove(&id);
        }
    }
}

fn lock(live: &Live) -> MutexGuard<'_, Listing> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use hexline_model::{ManualClock, Timestamp};

    use super::*;

    struct Witness(Arc<AtomicBool>);

    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_left_at_the_deadline_is_gone_when_the_end_has_come() {
        let tasks = Tasks::default();
        let gone = Arc::new(AtomicBool::new(false));
        let witness = Witness(Arc::clone(&gone));
        tasks.spawn(async move {
            let _witness = witness;
            std::future::pending::<()>().await;
        });
        let done = tasks.spawn(std::future::ready(()));
        done.await.expect("no panic");
        let clock = ManualClock::new(Timestamp::default());
        let cut_off = tasks.end(clock.monotonic(), &clock).await;
        assert_eq!(cut_off, 1, "the other one was done");
        assert!(gone.load(Ordering::SeqCst));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_is_over_leaves_nothing_behind() {
        let tasks = Tasks::default();
        for n in 0..100 {
            assert_eq!(tasks.spawn(async move { n }).await.ok(), Some(n));
        }
        let clock = ManualClock::new(Timestamp::default());
        let an_hour = clock.monotonic().plus(Duration::from_hours(1));
        assert_eq!(tasks.end(an_hour, &clock).await, 0);
        assert!(lock(&tasks.live).tasks.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_started_by_a_task_that_is_cut_off() {
        let tasks = Arc::new(Tasks::default());
        let (gone, began) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let child = tasks.spawn(std::future::pending::<()>());
        // It goes on when its child was cut off, or is cut off itself: both end in a new task.
        let starter = OnDrop {
            tasks: Arc::clone(&tasks),
            witness: Some(Witness(Arc::clone(&gone))),
            began: Arc::clone(&began),
        };
        tasks.spawn(async move {
            let starter = starter;
            let _ = child.await;
            drop(starter);
            std::future::pending::<()>().await;
        });
        let clock = ManualClock::new(Timestamp::default());
        let ended = tasks.end(clock.monotonic(), &clock);
        assert_eq!(ended.await, 2);
        assert!(gone.load(Ordering::SeqCst) && !began.load(Ordering::SeqCst));
        let late = tasks.spawn(std::future::pending::<()>()).await;
        assert!(late.is_err_and(|error| error.is_cancelled()));
    }

    /// Starts a task that would never end.
    struct OnDrop {
        tasks: Arc<Tasks>,
        witness: Option<Witness>,
        began: Arc<AtomicBool>,
    }

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let (witness, began) = (self.witness.take(), Arc::clone(&self.began));
            self.tasks.spawn(async move {
                began.store(true, Ordering::SeqCst);
                let _witness = witness;
                std::future::pending::<()>().await;
            });
        }
    }
}
