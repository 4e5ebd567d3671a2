//! Declaring what an argument is: [`Argument`](call_model::argument::Argument).

/// What stands behind `app!(…)` and `api!(…)`.
macro_rules! declared {
    ($declares:ty) => {
        impl $declares {
            /// Its argument stays marked: whatever a far end said in it, it is part of one value.
            #[must_use]
            pub const fn marked(self) -> Self {
                Self { argument: self.argument.marked(), ..self }
            }

            /// Its argument holds the name of a file or directory.
            #[must_use]
            pub const fn path(self) -> Self {
                Self { argument: self.argument.path(), ..self }
            }

            /// Its argument is a list of files (`playback`): its code takes it apart, and each item for a path.
            #[must_use]
            pub const fn files(self) -> Self {
                Self { argument: self.argument.files(), ..self }
            }

            /// Its argument is a line for the shell.
            #[must_use]
            pub const fn shell(self) -> Self {
                Self { argument: self.argument.shell(), ..self }
            }

            /// Its argument may be code of a script.
            #[must_use]
            pub const fn code(self) -> Self {
                Self { argument: self.argument.code(), ..self }
            }
        }
    };
}

pub(crate) use declared;
