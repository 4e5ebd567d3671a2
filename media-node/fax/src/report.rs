//! How far a fax got.

/// Completion codes of T.30 that are made here too, as spandsp numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    /// It succeeded.
    pub const OK: Self = Self(0);
    /// The file cannot be opened.
    pub const FILE: Self = Self(41);
    /// The file is no TIFF that can be faxed.
    pub const BAD_TIFF: Self = Self(43);
    /// The call ended, or the fax was stopped.
    pub const DROPPED: Self = Self(49);
    /// Not one of T.30's: there is no fax machine.
    pub const NO_MACHINE: Self = Self(-1);
}

/// The figures of a fax so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bits per second of pages.
    pub bit_rate: i32,
    /// Pages are sent in frames that are asked for again where they were damaged (ECM).
    pub ecm: bool,
    /// Pages sent.
    pub sent: i32,
    /// Pages received.
    pub received: i32,
    /// Pages of the file that is sent; negative when that is not known.
    pub in_file: i32,
    /// Pixels per metre, across and down.
    pub resolution: (i32, i32),
    /// Pixels across and down of the latest page.
    pub size: (i32, i32),
    /// Octets of the latest page as it was transferred.
    pub octets: i32,
    /// Compression on the line, as spandsp 0.0.6 numbers it.
    pub encoding: i32,
    /// Damaged rows of the latest page.
    pub bad_rows: i32,
    /// The most of them in a row.
    pub longest_bad_run: i32,
    /// Our identifier.
    pub local: String,
    /// The far end's identifier, as it sent it.
    pub remote: String,
    /// Country of the far end's machine, if it was sent.
    pub country: String,
    /// Its maker.
    pub vendor: String,
    /// Its model.
    pub model: String,
}

impl Report {
    /// The same with the figures of the latest page, which the library has forgotten at the end of a fax.
    #[must_use]
    pub fn with_page(self, page: &Self) -> Self {
        if self.size.1 > 0 {
            return self;
        }
        Self {
            resolution: page.resolution,
            size: page.size,
            octets: page.octets,
            encoding: page.encoding,
            bad_rows: page.bad_rows,
            longest_bad_run: page.longest_bad_run,
            ..self
        }
    }

    /// Number and name of the compression as FreeSWITCH's own spandsp has them, which clients know.
    #[must_use]
    pub fn encoding(&self) -> (i32, &'static str) {
        match self.encoding {
            1 => (0x02, "T.4 1-D"),
            2 => (0x04, "T.4 2-D"),
            3 => (0x08, "T.6"),
            _ => (0x01, "None"),
        }
    }
}

/// An event of a fax machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaxEvent {
    /// Both sides have agreed on how (phase B).
    Negotiated(Report),
    /// A page was transferred (phase D).
    PageDone(Report),
    /// It is over (phase E).
    Finished {
        /// How.
        code: Code,
        /// The same in words.
        text: String,
        /// The figures.
        report: Report,
    },
    /// A line of the protocol's log: severity as spandsp numbers it, and the text.
    Log(i32, String),
}
