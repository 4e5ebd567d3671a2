//! `ferroswitch records`: export of stored call records, and the end of old ones.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use boot::arguments::{ExportArgs, PurgeArgs, RecordsCommand, RecordsFormat, RecordsSource};
use boot::cli::DirOptions;
use boot::{complain, dirs, print};
use mod_cdr::keeping::{Format, KeepError, Source, Span, days_ago};

/// Does what was asked for.
pub(crate) fn command(command: &RecordsCommand, options: &DirOptions) -> ExitCode {
    let conf = match command {
        RecordsCommand::Export(args) => args.conf.as_ref(),
        RecordsCommand::Purge(args) => args.conf.as_ref(),
    };
    let loaded = match crate::offline::loaded(conf, options) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let Some(tree) = &loaded.tree else { return complain(&loaded.status, 1) };
    let dirs = match dirs::resolve(options) {
        Ok(dirs) => dirs,
        Err(error) => return complain(&format!("The working directory is gone: {error}"), 1),
    };
    let sources = match Source::all(|name| tree.configuration(name), &dirs.db_dir, &dirs.log_dir) {
        Ok(sources) => sources,
        Err(error) => return complain(&error, 1),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, 1),
    };
    let done = runtime.block_on(async {
        match command {
            RecordsCommand::Export(args) => export(args, &sources).await,
            RecordsCommand::Purge(args) => purge(args, &sources).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it.
        Err(KeepError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, 1),
    }
}

fn chosen(sources: &[Source], wanted: Option<RecordsSource>) -> Vec<&Source> {
    let module = wanted.map(|wanted| match wanted {
        RecordsSource::Sqlite => "mod_cdr_sqlite",
        RecordsSource::Postgresql => "mod_cdr_pg_csv",
    });
    sources.iter().filter(|source| module.is_none_or(|module| source.module == module)).collect()
}

async fn export(args: &ExportArgs, sources: &[Source]) -> Result<(), KeepError> {
    let chosen = chosen(sources, args.source);
    let there = chosen.iter().find(|source| source.is_there());
    let source = there.or(chosen.first()).ok_or(KeepError::NoSource)?;
    let mut out: Box<dyn Write + Send> = match &args.output {
        // What is there is not written over.
        Some(file) => Box::new(OpenOptions::new().write(true).create_new(true).open(file)?),
        None => Box::new(io::stdout()),
    };
    let format = match (args.format, args.spreadsheet) {
        (RecordsFormat::Jsonl, _) => Format::Lines,
        (RecordsFormat::Csv, true) => Format::Spreadsheet,
        (RecordsFormat::Csv, false) => Format::Csv,
    };
    let span = Span { from: args.from, to: args.to };
    let mut buffered = BufWriter::new(&mut out);
    let count = source.export(args.table.as_deref(), span, format, &mut buffered).await?;
    drop(buffered);
    if let Some(file) = &args.output {
        print(&format!("{count} records written to {}\n", file.display()));
    }
    Ok(())
}

async fn purge(args: &PurgeArgs, sources: &[Source]) -> Result<(), KeepError> {
    let chosen = chosen(sources, args.source);
    if chosen.is_empty() {
        return Err(KeepError::NoSource);
    }
    let before = args.before.or_else(|| args.older_than.map(days_ago)).unwrap_or(0);
    let several = chosen.len() > 1;
    for source in chosen {
        if several && !source.is_there() {
            print(&format!("{}: there is no database yet\n", source.module));
            continue;
        }
        for (table, count) in source.purge(before, args.dry_run).await? {
            let verb = if args.dry_run { "would be removed" } else { "removed" };
            print(&format!("{}: {table}: {count} rows {verb}\n", source.module));
        }
    }
    Ok(())
}
