//! `fs_cli`: the console of a running switch.

fn main() -> std::process::ExitCode {
    esl_server::fs_cli::main()
}
