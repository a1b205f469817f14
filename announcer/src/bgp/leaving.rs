//! How a router is left, by a task that can be asked to.

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::session::Leaving;

/// A task that leaves when it is asked to. Dropped, it is as if the process ended.
#[derive(Debug)]
pub(crate) struct LeavingTask {
    leaving: oneshot::Sender<Leaving>,
    task: AbortOnDropHandle<()>,
}

impl LeavingTask {
    /// Begins the task, which is given what it will be asked by.
    ///
    /// To be called in a tokio runtime.
    pub(crate) fn spawn<F>(work: impl FnOnce(oneshot::Receiver<Leaving>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (leaving, leaves) = oneshot::channel();
        LeavingTask { leaving, task: AbortOnDropHandle::new(tokio::spawn(work(leaves))) }
    }

    /// Asks it to leave, and waits until it has.
    pub(crate) async fn leave(self, how: Leaving) {
        // A task that has ended already hears nothing, and needs not to; one that panicked has left, too.
        let _ = self.leaving.send(how);
        let _ = self.task.await;
    }
}
