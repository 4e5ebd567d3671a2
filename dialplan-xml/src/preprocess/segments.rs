//! From a byte of the merged document back to file, line and column.

use std::sync::Arc;

use crate::Place;

/// One stretch of the merged document that came from one stretch of one line.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where it starts in the merged document.
    start: u32,
    file: u16,
    line: u32,
    /// Column of its first byte, from 1.
    column: u32,
    /// Whether the text was put there by `$${}`: then every byte has the column of the reference.
    expanded: bool,
}

/// Maps offsets of the merged document to places.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlaceMap {
    files: Vec<Arc<str>>,
    segments: Vec<Segment>,
}

impl PlaceMap {
    /// Registers a file and gives its number. The number saturates: past 65,535 files places name
    /// the last one.
    pub(crate) fn add_file(&mut self, name: Arc<str>) -> u16 {
        let id = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        if id < u16::MAX {
            self.files.push(name);
        }
        id
    }

    pub(crate) fn push(
        &mut self,
        start: usize,
        file: u16,
        line: u32,
        column: usize,
        expanded: bool,
    ) {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        self.segments.push(Segment { start, file, line, column, expanded });
    }

    pub(crate) fn place(&self, offset: u32) -> Place {
        let index = self.segments.partition_point(|s| s.start <= offset);
        let Some(segment) = index.checked_sub(1).and_then(|i| self.segments.get(i)) else {
            return Place::new(self.files.first().cloned().unwrap_or_else(|| "".into()), 0, 0);
        };
        let file = self.files.get(usize::from(segment.file)).or(self.files.last()).cloned();
        let inside = if segment.expanded { 0 } else { offset.saturating_sub(segment.start) };
        Place::new(
            file.unwrap_or_else(|| "".into()),
            segment.line,
            segment.column.saturating_add(inside),
        )
    }

    pub(crate) fn memory(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
            + self.files.iter().map(|f| f.len() + 32).sum::<usize>()
    }

    pub(crate) fn shrink(&mut self) {
        self.segments.shrink_to_fit();
    }
}
