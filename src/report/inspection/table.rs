//! Columns that stand under each other, on as much room as there is.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Between two columns.
const GAP: usize = 2;
const TITLE: Style = Style::new().dimmed();

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    /// The columns of a terminal that it keeps where room is scarce; all of them where there is none.
    least: Option<usize>,
    /// Characters of its end that are kept where it is cut: a port.
    end: usize,
}

/// A line under a row begins so far in.
const BELOW: usize = 7;

impl Column {
    /// Numbers and what must not be cut.
    pub(super) const fn right(title: &'static str) -> Self {
        Self { title, right: true, least: None, end: 0 }
    }

    /// Short text that is never cut.
    pub(super) const fn whole(title: &'static str) -> Self {
        Self { title, right: false, least: None, end: 0 }
    }

    /// Text that may be cut to so many columns.
    pub(super) const fn text(title: &'static str, least: usize) -> Self {
        Self { title, right: false, least: Some(least), end: 0 }
    }

    /// An address and a port, of which the port stays.
    pub(super) const fn address(title: &'static str, least: usize) -> Self {
        Self { title, right: false, least: Some(least), end: 6 }
    }
}

/// Rows under titles.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<String>>,
    /// What stands on a line of its own under a row, by the row's number.
    below: Vec<(usize, String)>,
}

impl Table {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new(), below: Vec::new() }
    }

    /// Adds a row: a printable cell for each column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a row with a line under it, if there is something to say on that.
    pub(super) fn row_above(&mut self, cells: Vec<String>, below: String) {
        if !below.is_empty() {
            self.below.push((self.rows.len(), below));
        }
        self.row(cells);
    }

    pub(super) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Whether its lines can be had on so much room.
    pub(super) fn fits(&self, room: usize) -> bool {
        line_width(&self.widths(Some(room))) <= room
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table, each line no longer than `room` columns of a terminal where that can be had. Columns in which nothing
    /// stands are left out.
    pub(super) fn write(&self, room: Option<usize>, text: &mut String) {
        let widths = self.widths(room);
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, column), width) in
                cells.zip(self.columns).zip(&widths).filter(|(_, width)| **width > 0)
            {
                if !line.is_empty() {
                    line.push_str(&" ".repeat(GAP));
                }
                let cell = cut(cell, *width, column.end);
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                let _ = if column.right {
                    write!(line, "{blanks}{cell}")
                } else {
                    write!(line, "{cell}{blanks}")
                };
            }
            line.trim_end().to_owned()
        };
        let titles = line(&mut self.columns.iter().map(|column| column.title));
        let _ = writeln!(text, "{TITLE}{titles}{TITLE:#}");
        let mut below = self.below.iter().peekable();
        for (no, row) in self.rows.iter().enumerate() {
            let _ = writeln!(text, "{}", line(&mut row.iter().map(String::as_str)));
            while let Some((_, under)) = below.next_if(|(of, _)| *of == no) {
                let under = cut(under, room.unwrap_or(usize::MAX).saturating_sub(BELOW), 0);
                let _ = writeln!(text, "{}{under}", " ".repeat(BELOW));
            }
        }
    }

    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let widest =
            |no: usize| self.rows.iter().filter_map(|row| row.get(no)).map(|cell| cell.width()).max();
        let full = |(no, column): (usize, &Column)| match widest(no).unwrap_or(0) {
            0 => 0,
            width => width.max(column.title.width()),
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(full).collect();
        let Some(room) = room else { return widths };
        // The widest of those that may be cut gives way first, column by column.
        loop {
            let all = line_width(&widths);
            let wide =
                |(width, column): &(&mut usize, &Column)| column.least.is_some_and(|least| **width > least);
            let widest = widths.iter_mut().zip(self.columns).filter(wide).max_by_key(|(width, _)| **width);
            match widest {
                Some((width, _)) if all > room => *width -= 1,
                _ => return widths,
            }
        }
    }
}

/// Columns of so much width, with what stands between them.
fn line_width(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0).count();
    widths.iter().sum::<usize>() + shown.saturating_sub(1) * GAP
}

/// A text that takes at most so many columns, with an ellipsis where it is cut, before its last `end` characters.
fn cut(text: &str, width: usize, end: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let from = text.char_indices().rev().take(end).last().map_or(text.len(), |(place, _)| place);
    let end = text.get(from..).unwrap_or_default();
    let mut taken = 1 + end.width();
    let kept = text.chars().take_while(|c| {
        taken += c.width().unwrap_or(0);
        taken <= width
    });
    kept.chain(['…']).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column::right("no"), Column::text("name", 4), Column::text("none", 4), Column::whole("state")];

    fn written(room: Option<usize>) -> Vec<String> {
        let mut table = Table::new(COLUMNS);
        table.row(vec!["1".to_owned(), "a long name".to_owned(), String::new(), "open".to_owned()]);
        table.row(vec!["1,000".to_owned(), "短い名前".to_owned(), String::new(), "closed".to_owned()]);
        let mut text = String::new();
        table.write(room, &mut text);
        let plain = anstream::adapter::strip_str(&text).to_string();
        plain.lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_stand_under_each_other() {
        let wanted = ["   no  name         state", "    1  a long name  open", "1,000  短い名前     closed"];
        assert_eq!(written(None), wanted);
        assert_eq!(written(Some(100)), wanted);
    }

    #[test]
    fn a_line_under_a_row_is_cut_too() {
        let mut table = Table::new(COLUMNS);
        let cells = || vec!["1".to_owned(), "name".to_owned(), String::new(), "open".to_owned()];
        table.row_above(cells(), "decrypted, 1 upload".to_owned());
        table.row_above(cells(), String::new());
        assert!(table.fits(15) && !table.fits(14), "no, name and state");
        let mut text = String::new();
        table.write(Some(16), &mut text);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain.lines().collect::<Vec<_>>(),
            ["no  name  state", " 1  name  open", "       decrypte…", " 1  name  open"]
        );
    }

    #[test]
    fn of_an_address_the_port_stays() {
        assert_eq!(cut("115.164.74.232:5222", 15, 6), "115.164.…2:5222");
        assert_eq!(cut("10.0.0.1:80", 15, 6), "10.0.0.1:80");
    }

    #[test]
    fn scarce_room_cuts_what_may_be_cut() {
        assert_eq!(written(Some(20)), ["   no  name   state", "    1  a lo…  open", "1,000  短い…  closed"]);
        let narrow = written(Some(3));
        assert_eq!(narrow[1], "    1  a l…  open", "the least of each column stays");
    }
}
