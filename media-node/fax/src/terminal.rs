//! Between a fax application, or a T.38 gateway, and the signalling of its leg.

use std::net::SocketAddr;

use sdp::T38Options;
use tokio::sync::mpsc;

use crate::udptl::LONGEST;

/// Changes of a leg's media that wait for the application: it offers once, and gets one answer.
const MAX_QUEUED: usize = 4;
/// `T38FaxMaxBuffer` where the far end says none.
const BUFFER: u32 = 2000;
/// The latest version of T.38 that is understood.
const VERSION: u16 = 3;

/// A change of a leg's media that the signalling has made, or has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaChange {
    /// The leg's packets are UDPTL from now on.
    ToT38 {
        /// Where the far end takes them, if its description has an address.
        remote: Option<SocketAddr>,
        /// What was agreed on.
        options: T38Options,
    },
    /// The far end has refused our offer.
    Refused,
    /// The far end has described audio again. Also told where the leg had audio before.
    ToAudio,
}

/// What a fax application agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The fastest rate of pages, bits per second.
    pub max_bit_rate: u32,
}

impl Offer {
    /// Our own offer.
    #[must_use]
    pub fn options(self) -> T38Options {
        T38Options {
            version: 0,
            max_bit_rate: self.max_bit_rate,
            fill_bit_removal: true,
            max_buffer: BUFFER,
            max_datagram: LONGEST as u32,
            ..T38Options::default()
        }
    }

    /// Our answer to the offer of a far end.
    #[must_use]
    pub fn answer(self, theirs: &T38Options) -> T38Options {
        T38Options {
            version: theirs.version.min(VERSION),
            max_bit_rate: self.max_bit_rate,
            fill_bit_removal: theirs.fill_bit_removal,
            max_buffer: if theirs.max_buffer == 0 { BUFFER } else { theirs.max_buffer },
            max_datagram: LONGEST as u32,
            ..T38Options::default()
        }
    }
}

/// In a slot of the channel while a fax application or a gateway works: the leg's signalling answers re-INVITEs with it,
/// and reports the answers to ours.
#[derive(Debug, Default)]
pub struct Terminal(Option<(Option<Offer>, mpsc::Sender<MediaChange>)>);

impl Terminal {
    /// A fax application begins. Without `offer` it stays with audio.
    pub fn open(&mut self, offer: Option<Offer>) -> mpsc::Receiver<MediaChange> {
        let (sender, changes) = mpsc::channel(MAX_QUEUED);
        self.0 = Some((offer, sender));
        changes
    }

    /// It has ended.
    pub fn close(&mut self) {
        self.0 = None;
    }

    /// Does an application have the leg that hears of changes?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, sender)| !sender.is_closed())
    }

    /// The answer to a far end that offers fax; `None` = it is refused. It is to be followed by [`Terminal::notify`].
    #[must_use]
    pub fn answer(&self, theirs: &T38Options) -> Option<T38Options> {
        let (offer, sender) = self.0.as_ref()?;
        offer.filter(|_| !sender.is_closed()).map(|offer| offer.answer(theirs))
    }

    /// Tells the application of a change.
    pub fn notify(&self, change: MediaChange) {
        if let Some((_, sender)) = &self.0 {
            // The queue holds more than a leg has changes that are acted on.
            let _too_many = sender.try_send(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_answered_while_an_application_runs_that_takes_them() {
        let mut terminal = Terminal::default();
        let theirs = T38Options { version: 7, max_buffer: 0, ..T38Options::default() };
        assert_eq!(terminal.answer(&theirs), None);
        assert!(!terminal.is_open());
        let audio = terminal.open(None);
        assert_eq!((terminal.answer(&theirs), terminal.is_open()), (None, true));
        drop(audio);
        assert!(!terminal.is_open());
        let mut changes = terminal.open(Some(Offer { max_bit_rate: 9600 }));
        let ours = terminal.answer(&theirs).unwrap();
        assert_eq!((ours.version, ours.max_bit_rate, ours.max_buffer), (3, 9600, 2000));
        assert_eq!(ours.max_datagram, 400);
        terminal.notify(MediaChange::Refused);
        assert_eq!(changes.try_recv(), Ok(MediaChange::Refused));
        drop(changes);
        assert_eq!(terminal.answer(&theirs), None);
        terminal.close();
    }
}
