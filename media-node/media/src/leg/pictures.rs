//! A leg's video in a room.

use std::sync::Arc;

use super::Leg;
use crate::error::LegError;
use crate::picture::PictureOptions;
use crate::shared::Op;
use crate::worker::pictures::Picture;

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Leg {
    /// Takes part in the room of a mixer ([`crate::Engine::open_mixer`]) with video. Nothing is shown to it before
    /// [`Leg::look_at`] says whom. Ends an earlier bridge; [`Leg::unbridge`] leaves.
    pub fn join_pictures(&self, mixer: &Self, options: PictureOptions) -> Result<(), LegError> {
        let picture = Box::new(Picture::new(options));
        self.post(Op::JoinPictures { mixer: Arc::clone(&mixer.shared), picture })
    }

    /// Shows the pictures of another member of the room, which may be the leg itself, from the next key frame on;
    /// until then the one shown before stays. `None` shows nothing.
    pub fn look_at(&self, other: Option<&Self>) -> Result<(), LegError> {
        self.post(Op::LookAt(other.map(|other| Arc::clone(&other.shared))))
    }

    /// Keeps the leg's pictures from all others, or shows them again.
    pub fn hide_pictures(&self, hidden: bool) -> Result<(), LegError> {
        self.post(Op::HidePictures(hidden))
    }
}
