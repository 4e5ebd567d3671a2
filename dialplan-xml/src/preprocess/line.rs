//! One line after `$${}` expansion, and which part of it came from where.

use std::borrow::Cow;

pub(super) struct Line<'a> {
    pub(super) text: Cow<'a, str>,
    pieces: Vec<Piece>,
}

/// A stretch of the line.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Where it starts in the expanded line.
    pub(super) start: usize,
    /// Where it starts in the line as written, from 0.
    pub(super) column: usize,
    /// Whether it is the value of a variable.
    pub(super) expanded: bool,
}

impl<'a> Line<'a> {
    /// A line without variables.
    pub(super) fn raw(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), pieces: Vec::new() }
    }

    /// Appends a stretch of the line as written.
    pub(super) fn copy(&mut self, raw: &str, from: usize, to: usize) {
        let text = self.owned();
        let start = text.len();
        text.push_str(raw.get(from..to).unwrap_or_default());
        self.pieces.push(Piece { start, column: from, expanded: false });
    }

    /// Appends the value of a variable that is written at `column`.
    pub(super) fn insert(&mut self, value: &str, column: usize) {
        let text = self.owned();
        let start = text.len();
        text.push_str(value);
        self.pieces.push(Piece { start, column, expanded: true });
    }

    /// Appends what follows the last variable, if there was one.
    pub(super) fn finish(&mut self, raw: &str, from: usize) {
        if !self.pieces.is_empty() {
            self.copy(raw, from, raw.len());
        }
    }

    /// The pieces of `from..to`, each starting no earlier than `from`.
    pub(super) fn pieces(&self, from: usize, to: usize) -> impl Iterator<Item = Piece> {
        let whole = [Piece { start: 0, column: 0, expanded: false }];
        let pieces = if self.pieces.is_empty() { whole.to_vec() } else { self.pieces.clone() };
        let ends: Vec<usize> = pieces.iter().skip(1).map(|p| p.start).chain([usize::MAX]).collect();
        pieces.into_iter().zip(ends).filter_map(move |(piece, end)| {
            let start = piece.start.max(from);
            (start < to && start < end).then(|| {
                let inside = if piece.expanded { 0 } else { start - piece.start };
                Piece { start, column: piece.column + inside, expanded: piece.expanded }
            })
        })
    }

    /// Column as written, from 0, of a position of the expanded line.
    pub(super) fn column(&self, at: usize) -> usize {
        self.pieces(at, at.saturating_add(1)).next().map_or(at, |p| p.column)
    }

    fn owned(&mut self) -> &mut String {
        if self.pieces.is_empty() {
            self.text = Cow::Owned(String::new());
        }
        self.text.to_mut()
    }
}
