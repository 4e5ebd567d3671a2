//! Columns as text.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

/// A column of SQLite, which says any of its values as text.
pub(crate) fn sqlite(row: &SqliteRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(None);
    }
    match value.type_info().name() {
        "REAL" => row.try_get_unchecked::<f64, _>(index).map(|n| Some(n.to_string())),
        "INTEGER" | "BOOLEAN" => {
            row.try_get_unchecked::<i64, _>(index).map(|n| Some(n.to_string()))
        }
        "BLOB" => {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(index)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => row.try_get_unchecked::<String, _>(index).map(Some),
    }
}

/// A column of PostgreSQL. Kinds that are not listed are to be cast to text by the statement.
pub(crate) fn postgres(row: &PgRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(None);
    }
    let name = value.type_info().name().to_owned();
    let text = match name.as_str() {
        "INT2" => row.try_get::<i16, _>(index)?.to_string(),
        "INT4" => row.try_get::<i32, _>(index)?.to_string(),
        "INT8" => row.try_get::<i64, _>(index)?.to_string(),
        "FLOAT4" => row.try_get::<f32, _>(index)?.to_string(),
        "FLOAT8" => row.try_get::<f64, _>(index)?.to_string(),
        "BOOL" => if row.try_get::<bool, _>(index)? { "t" } else { "f" }.to_owned(),
        "NUMERIC" => {
            let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
            let unread = || sqlx::Error::Decode("a number that cannot be read".into());
            numeric(bytes).ok_or_else(unread)?
        }
        _ => row.try_get_unchecked::<String, _>(index)?,
    };
    Ok(Some(text))
}

/// PostgreSQL's binary form of NUMERIC: digits of base 10,000.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]]));
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    if sign == 0xC000 {
        return Some("NaN".to_owned());
    }
    let groups: Vec<u16> = words.take(count).collect();
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    let mut whole = String::new();
    for place in (0..=weight.max(0)).rev() {
        whole.push_str(&format!("{:04}", group(place)));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(place)));
            place -= 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::numeric;

    fn bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_read_as_they_are_written() {
        assert_eq!(numeric(&bytes(&[2, 0, 0, 2, 12, 3400])).as_deref(), Some("12.34"));
        assert_eq!(numeric(&bytes(&[1, 0xFFFF, 0x4000, 4, 50])).as_deref(), Some("-0.0050"));
        assert_eq!(numeric(&bytes(&[0, 0, 0, 0])).as_deref(), Some("0"));
        assert_eq!(numeric(&bytes(&[1, 1, 0, 0, 3])).as_deref(), Some("30000"));
        assert_eq!(numeric(&bytes(&[0, 0, 0xC000, 0])).as_deref(), Some("NaN"));
        assert_eq!(numeric(&[0, 1]), None);
    }
}
