//! The `Date` of answers.

/// RFC 1123 date. Put together by hand: each answer has one, and a format text is taken apart each time.
pub(super) fn http_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Ok(timestamp) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    let at = jiff::tz::Offset::UTC.to_datetime(timestamp);
    let place = |n: i8| usize::try_from(n).unwrap_or(0);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS.get(place(at.weekday().to_monday_zero_offset())).unwrap_or(&""),
        at.day(),
        MONTHS.get(place(at.month() - 1)).unwrap_or(&""),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_rfc_1123() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        for seconds in (0..4_000_000_000_i64).step_by(86_399 * 31) {
            let timestamp = jiff::Timestamp::from_second(seconds).unwrap();
            let formatted = timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            assert_eq!(http_date(seconds), formatted);
        }
    }
}
