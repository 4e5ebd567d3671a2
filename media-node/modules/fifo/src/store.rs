//! The reference's tables `fifo_outbound`, `fifo_bridge` and `fifo_callers`, written behind what is in memory.

use std::path::Path;

use database::{Arg, Database, Error, Row};
use switch_core::switch::Switch;

use crate::state::{Member, State};

const OUTBOUND: &str = "create table fifo_outbound (uuid varchar(255), fifo_name varchar(255), \
     originate_string varchar(255), simo_count integer, use_count integer, timeout integer, lag integer, \
     next_avail integer not null default 0, expires integer not null default 0, static integer not null default 0, \
     outbound_call_count integer not null default 0, outbound_fail_count integer not null default 0, \
     hostname varchar(255), taking_calls integer not null default 1, status varchar(255), \
     outbound_call_total_count integer not null default 0, outbound_fail_total_count integer not null default 0, \
     active_time integer not null default 0, inactive_time integer not null default 0, \
     manual_calls_out_count integer not null default 0, manual_calls_in_count integer not null default 0, \
     manual_calls_out_total_count integer not null default 0, manual_calls_in_total_count integer not null default 0, \
     ring_count integer not null default 0, start_time integer not null default 0, stop_time integer not null default 0)";
const BRIDGE: &str = "create table fifo_bridge (fifo_name varchar(1024) not null, caller_uuid varchar(255) not null, \
     caller_caller_id_name varchar(255), caller_caller_id_number varchar(255), consumer_uuid varchar(255) not null, \
     consumer_outgoing_uuid varchar(255), bridge_start integer)";
const CALLERS: &str = "create table fifo_callers (fifo_name varchar(255) not null, uuid varchar(255) not null, \
     caller_caller_id_name varchar(255), caller_caller_id_number varchar(255), timestamp integer)";

const COLUMNS: &str = "uuid, fifo_name, originate_string, simo_count, use_count, timeout, lag, next_avail, expires, \
     static, outbound_call_count, outbound_fail_count, hostname, taking_calls, status, outbound_call_total_count, \
     outbound_fail_total_count, active_time, inactive_time, manual_calls_out_count, manual_calls_in_count, \
     manual_calls_out_total_count, manual_calls_in_total_count, ring_count, start_time, stop_time";

/// Makes a table unless it is as it has to be: `probe` is a query that works then.
async fn ensure(database: &Database, probe: &str, create: &str) -> Result<(), Error> {
    if database.rows(probe, Vec::new()).await.is_ok() {
        return Ok(());
    }
    database.execute(create, Vec::new()).await.map(drop)
}

/// Opens the database and makes its tables. Bridges and callers of an earlier run are over.
pub(crate) async fn open(dsn: &str, folder: &Path) -> Result<Database, Error> {
    let database = Database::open(dsn, folder).await?;
    ensure(&database, "select count(stop_time) from fifo_outbound", OUTBOUND).await?;
    ensure(&database, "select count(fifo_name) from fifo_bridge", BRIDGE).await?;
    ensure(&database, "select count(fifo_name) from fifo_callers", CALLERS).await?;
    for table in ["fifo_bridge", "fifo_callers"] {
        database.execute(&format!("delete from {table}"), Vec::new()).await?;
    }
    database.execute("delete from fifo_outbound where static = 1", Vec::new()).await?;
    Ok(database)
}

/// Members an earlier run left; their calls are over.
pub(crate) async fn members(database: &Database) -> Result<Vec<Member>, Error> {
    let rows = database.rows(&format!("select {COLUMNS} from fifo_outbound"), Vec::new()).await?;
    Ok(rows.iter().map(member).collect())
}

fn member(row: &Row) -> Member {
    let (cell, figure) = (|at: usize| row.text(at).to_owned(), |at: usize| row.int(at));
    Member {
        uuid: cell(0),
        simo: figure(3),
        timeout: figure(5),
        lag: figure(6),
        next_avail: figure(7),
        expires: figure(8),
        taking_calls: figure(13),
        status: cell(14),
        calls_total: figure(15),
        fails_total: figure(16),
        active_time: figure(17),
        inactive_time: figure(18),
        manual_out_total: figure(21),
        manual_in_total: figure(22),
        ..Member::new(&cell(1), &cell(2), &cell(12))
    }
}

/// PostgreSQL's text holds no NUL.
fn plain(text: &str) -> Arg {
    Arg::Text(text.replace('\0', ""))
}

fn values(member: &Member) -> Vec<Arg> {
    vec![
        plain(&member.uuid),
        plain(&member.fifo),
        plain(&member.dial),
        member.simo.into(),
        member.use_count.into(),
        member.timeout.into(),
        member.lag.into(),
        member.next_avail.into(),
        member.expires.into(),
        i64::from(member.is_static).into(),
        member.calls.into(),
        member.fails.into(),
        plain(&member.hostname),
        member.taking_calls.into(),
        plain(&member.status),
        member.calls_total.into(),
        member.fails_total.into(),
        member.active_time.into(),
        member.inactive_time.into(),
        member.manual_out.into(),
        member.manual_in.into(),
        member.manual_out_total.into(),
        member.manual_in_total.into(),
        member.ring_count.into(),
        member.start_time.into(),
        member.stop_time.into(),
    ]
}

const DELETE_MEMBER: &str = "delete from fifo_outbound where uuid = $1 and fifo_name = $2";
const INSERT_MEMBER: &str = "insert into fifo_outbound (uuid, fifo_name, originate_string, simo_count, use_count, \
     timeout, lag, next_avail, expires, static, outbound_call_count, outbound_fail_count, hostname, taking_calls, \
     status, outbound_call_total_count, outbound_fail_total_count, active_time, inactive_time, \
     manual_calls_out_count, manual_calls_in_count, manual_calls_out_total_count, manual_calls_in_total_count, \
     ring_count, start_time, stop_time) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
     $23, $24, $25, $26)";

/// What has changed, as statements.
pub(crate) fn statements(switch: &Switch, state: &mut State) -> Vec<(String, Vec<Arg>)> {
    let (members, bridges, callers) = state.changes();
    let mut statements = Vec::new();
    for (uuid, fifo, member) in members {
        statements.push((DELETE_MEMBER.to_owned(), vec![plain(&uuid), plain(&fifo)]));
        if let Some(member) = member {
            statements.push((INSERT_MEMBER.to_owned(), values(&member)));
        }
    }
    if bridges {
        statements.push(("delete from fifo_bridge".to_owned(), Vec::new()));
        for bridge in &state.bridges {
            statements.push((
                "insert into fifo_bridge (fifo_name, caller_uuid, caller_caller_id_name, caller_caller_id_number, \
                 consumer_uuid, consumer_outgoing_uuid, bridge_start) values ($1, $2, $3, $4, $5, $6, $7)".to_owned(),
                vec![
                    plain(&bridge.fifo),
                    plain(&bridge.caller),
                    plain(&bridge.caller_name),
                    plain(&bridge.caller_number),
                    plain(&bridge.consumer),
                    plain(&bridge.outbound),
                    bridge.start.into(),
                ],
            ));
        }
    }
    if callers {
        statements.push(("delete from fifo_callers".to_owned(), Vec::new()));
        for (fifo, uuid) in state.callers() {
            let Some(channel) = switch.channel(&uuid) else { continue };
            let var = |name: &str| channel.var(name).unwrap_or_default();
            statements.push((
                "insert into fifo_callers (fifo_name, uuid, caller_caller_id_name, caller_caller_id_number, timestamp) \
                 values ($1, $2, $3, $4, $5)".to_owned(),
                vec![
                    plain(&fifo),
                    plain(&uuid),
                    plain(&var("caller_id_name")),
                    plain(&var("caller_id_number")),
                    (channel.created() / 1_000_000).into(),
                ],
            ));
        }
    }
    statements
}
