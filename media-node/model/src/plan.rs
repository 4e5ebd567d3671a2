//! What a call runs next, and why: the applications that routing found, with the lines they are written in.

use std::sync::Arc;

use dialplan_xml::Place;

/// One application that waits to run.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, as written.
    pub application: Arc<str>,
    /// Its argument: captures are filled in, `${…}` is not.
    pub data: Arc<str>,
    /// Where it is written; `None` for what a program or another application asked for.
    pub written: Option<Written>,
}

/// Where a step of a dialplan is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The action.
    pub action: Place,
    /// The condition that let it run.
    pub condition: Place,
}

impl<A: Into<Arc<str>>, D: Into<Arc<str>>> From<(A, D)> for Step {
    fn from((application, data): (A, D)) -> Self {
        Self { application: application.into(), data: data.into(), written: None }
    }
}

/// A list of applications waiting to run: what routing decided. Copies share the list.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Name of the dialplan extension.
    pub name: Arc<str>,
    /// The number that led here.
    pub number: Arc<str>,
    steps: Arc<[Step]>,
    next: usize,
}

impl Extension {
    /// An extension whose steps have all to run yet.
    pub fn new<S: Into<Step>>(
        name: impl Into<Arc<str>>,
        number: impl Into<Arc<str>>,
        steps: impl IntoIterator<Item = S>,
    ) -> Self {
        let steps = steps.into_iter().map(Into::into).collect();
        Self { name: name.into(), number: number.into(), steps, next: 0 }
    }

    /// All steps, those that ran as well.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many have not been taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.steps.len() - self.next
    }
}

impl Iterator for Extension {
    type Item = Step;

    /// Takes the next step.
    fn next(&mut self) -> Option<Step> {
        let step = self.steps.get(self.next).cloned()?;
        self.next += 1;
        Some(step)
    }
}

/// What a dialplan answered under one caller profile, kept for the record.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Index of the profile.
    pub profile: String,
    /// Name, number and all applications.
    pub extension: Extension,
}

/// An application that runs now.
#[derive(Clone, Debug)]
pub struct Doing {
    /// Its name.
    pub application: &'static str,
    /// Its argument, expanded.
    pub argument: Arc<str>,
    /// Where it is written, if a dialplan says so.
    pub written: Option<Written>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_gives_its_steps_once_and_remembers_them() {
        let mut extension = Extension::new("a", "1", [("answer", ""), ("park", "")]);
        let copy = extension.clone();
        assert_eq!(extension.next().map(|step| step.application).as_deref(), Some("answer"));
        assert_eq!((extension.left(), copy.left(), extension.steps().len()), (1, 2, 2));
        assert_eq!(extension.by_ref().count(), 1);
        assert!(extension.next().is_none());
    }
}
