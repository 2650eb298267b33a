//! Lines that are longer than a terminal is wide go on below, further in.

use unicode_width::UnicodeWidthChar as _;

/// What begins and ends a change of style (ECMA-48 section 8.3.117); it takes no room.
const ESCAPE: char = '\u{1b}';
const STYLED: char = 'm';

/// Further in than the line that goes on.
const DEEPER: usize = 2;

/// Breaks lines between words to take at most `room` columns; a word that has no room on a line of its own is broken within.
pub(super) fn fold(text: &str, room: Option<usize>) -> String {
    let Some(room) = room.filter(|room| *room > 0) else { return text.to_owned() };
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if width(line) <= room {
            folded.push_str(line);
        } else {
            fold_line(line, room, &mut folded);
        }
        folded.push('\n');
    }
    folded
}

fn fold_line(line: &str, room: usize, folded: &mut String) {
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    // Half of the room is left for words.
    let below = " ".repeat((indent + DEEPER).min(room / 2));
    folded.push_str(&" ".repeat(indent.min(room / 2)));
    let (mut at, mut blanks, mut first) = (indent.min(room / 2), 0, true);
    for word in words.split(' ') {
        let len = width(word);
        if !first && at + blanks + len > room {
            newline(folded, &below);
            (at, blanks) = (below.len(), 0);
        }
        folded.push_str(&" ".repeat(blanks));
        at += blanks;
        let mut plain = Plain::default();
        for c in word.chars() {
            let wide = plain.width(c);
            if at + wide > room {
                newline(folded, &below);
                at = below.len();
            }
            folded.push(c);
            at += wide;
        }
        (blanks, first) = (1, false);
        if word.is_empty() {
            blanks = 1;
        }
    }
}

fn newline(folded: &mut String, below: &str) {
    folded.truncate(folded.trim_end_matches(' ').len());
    folded.push('\n');
    folded.push_str(below);
}

/// Columns that a line takes.
fn width(line: &str) -> usize {
    let mut plain = Plain::default();
    line.chars().map(|c| plain.width(c)).sum()
}

/// Whether a change of style is being read.
#[derive(Default)]
struct Plain {
    styled: bool,
}

impl Plain {
    fn width(&mut self, c: char) -> usize {
        match c {
            ESCAPE => self.styled = true,
            STYLED if self.styled => self.styled = false,
            _ if self.styled => {}
            c => return c.width().unwrap_or(0),
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_below_further_in() {
        let text = "one two three\n    four five six seven\nshort\n";
        assert_eq!(fold(text, Some(13)), "one two three\n    four five\n      six\n      seven\nshort\n");
        assert_eq!(fold(text, None), text);
        assert_eq!(fold(text, Some(100)), text);
    }

    #[test]
    fn a_long_word_is_broken_and_nothing_of_it_is_lost() {
        let digest = "0123456789abcdef".repeat(2);
        let folded = fold(&format!("  sha256 {digest}\n"), Some(20));
        assert!(folded.lines().all(|line| width(line) <= 20), "{folded}");
        assert_eq!(folded.replace([' ', '\n'], ""), format!("sha256{digest}"));
    }

    #[test]
    fn styles_take_no_room_and_wide_characters_two() {
        let line = "\u{1b}[1mbold\u{1b}[0m ends\n";
        assert_eq!(fold(line, Some(9)), line);
        assert_eq!(fold("短い名前 ab\n", Some(8)), "短い名前\n  ab\n");
        assert_eq!(fold("短い名前\n", Some(5)), "短い\n  名\n  前\n");
    }
}
