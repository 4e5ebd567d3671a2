//! Messages whose recording was cut off by the end of the process.
//!
//! A row in `voicemail_unfinished` is written before the first sample, and goes with the row of the message itself. The
//! file lies in the box from the beginning and grows twice a second. What is found at the start is made whole and
//! delivered as if the caller had hung up; what is shorter than `min-record-len` is thrown away.

use std::path::Path;
use std::sync::Arc;

use switch_core::switch::Switch;

use crate::boxes::{BeingRecorded, Boxes, Loaded};
use crate::deliver::{Delivery, deliver};
use crate::owner::{self, Owner};
use crate::recording;
use crate::store::{NORMAL, Unfinished};

/// Notes that a recording begins. Without the note a recording goes on: it is lost only if the process ends too.
pub(crate) async fn begin(
    switch: &Arc<Switch>,
    boxes: &Boxes,
    owner: &Owner,
    path: &Path,
    (uuid, cid_name, cid_number): (&str, &str, &str),
) -> BeingRecorded {
    let guard = BeingRecorded::begin(switch, path);
    let what = Unfinished {
        path: path.to_string_lossy().into_owned(),
        user: owner.id.clone(),
        domain: owner.domain.clone(),
        uuid: uuid.to_owned(),
        cid_name: cid_name.to_owned(),
        cid_number: cid_number.to_owned(),
    };
    if let Err(error) = boxes.store.begin(&switch.name(), &what).await {
        tracing::error!("Voicemail profile {}: {error}", boxes.profile.name);
    }
    guard
}

/// A recording was thrown away.
pub(crate) async fn forget(boxes: &Boxes, path: &Path) {
    if let Err(error) = boxes.store.forget(&path.to_string_lossy()).await {
        tracing::error!("Voicemail profile {}: {error}", boxes.profile.name);
    }
}

/// Delivers what an earlier process has left.
pub(crate) async fn take_up(switch: &Arc<Switch>, boxes: &Arc<Boxes>) {
    let found = match boxes.store.unfinished(&switch.name()).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("Voicemail profile {}: {error}", boxes.profile.name);
            return;
        }
    };
    for one in found {
        if !switch.module::<Loaded>().is_recorded(&one.path) {
            take_up_one(switch, boxes, one).await;
        }
    }
}

async fn take_up_one(switch: &Arc<Switch>, boxes: &Arc<Boxes>, one: Unfinished) {
    let path = Path::new(&one.path);
    let seconds = recording::mend(path).await.unwrap_or(0);
    if seconds == 0 || seconds < boxes.profile.min_record_len {
        tracing::info!("{}: {seconds} s of a message are too few and thrown away", one.path);
        let _gone = tokio::fs::remove_file(path).await;
        forget(boxes, path).await;
        return;
    }
    let Some(owner) = owner::find(switch, &one.user, &one.domain, None, |_| {}).await else {
        tracing::warn!(
            "{}: cannot find user {}@{}; the message stays",
            one.path,
            one.user,
            one.domain
        );
        return;
    };
    tracing::warn!("{}: {seconds} s of a message for {} were found", one.path, one.user);
    let delivery = Delivery {
        path: path.to_owned(),
        copy: false,
        seconds,
        read_flags: NORMAL.to_owned(),
        cid_name: one.cid_name,
        cid_number: one.cid_number,
        forwarded_by: String::new(),
        uuid: one.uuid,
        channel: None,
        depth: 0,
    };
    deliver(switch, boxes, &owner, delivery).await;
    forget(boxes, path).await;
}
