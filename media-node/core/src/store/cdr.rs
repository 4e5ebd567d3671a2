//! Call records: who wants one when a call has ended.

use std::sync::Arc;

use crate::BoxFuture;
use crate::call::Channel;

/// Something that records ended calls.
pub trait Recorder: Send + Sync {
    /// Records a call in CS_REPORTING.
    fn record<'a>(&'a self, channel: &'a Arc<Channel>) -> BoxFuture<'a, ()>;
}

/// All recorders.
#[derive(Default)]
pub struct Records {
    recorders: parking_lot::RwLock<Vec<Arc<dyn Recorder>>>,
}

impl Records {
    /// Adds a recorder.
    pub fn add(&self, recorder: Arc<dyn Recorder>) {
        self.recorders.write().push(recorder);
    }

    /// Lets every recorder see the call.
    pub async fn report(&self, channel: &Arc<Channel>) {
        let recorders = self.recorders.read().clone();
        for recorder in recorders {
            recorder.record(channel).await;
        }
    }
}
