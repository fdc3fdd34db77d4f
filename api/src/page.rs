//! Lists in pages, by position rather than offset: a page costs the same wherever it lies.

use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{cursor, problem::Problem};

const DEFAULT_LIMIT: u16 = 20;
pub const MAX_LIMIT: u16 = 100;

/// What a client asks of a list.
#[derive(Debug)]
pub struct Page<C> {
    list: &'static str,
    /// Where the page before ended.
    pub after: Option<C>,
    limit: u16,
}

impl<C: Serialize + DeserializeOwned> Page<C> {
    pub fn parse(list: &'static str, limit: Option<u16>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::field("limit", format!("must be 1 to {MAX_LIMIT}")));
        }
        let after = match cursor {
            Some(text) => Some(
                cursor::decode(list, text).ok_or_else(|| Problem::field("cursor", "is not a cursor of this list"))?,
            ),
            None => None,
        };
        Ok(Self { list, after, limit })
    }

    /// Rows to read: one more than shown, which tells whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page from its rows.
    pub fn list<R, T: ToSchema + From<R>>(&self, mut rows: Vec<R>, position: impl Fn(&R) -> C) -> List<T> {
        let more = rows.len() > usize::from(self.limit);
        rows.truncate(self.limit.into());
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| cursor::encode(self.list, &position(row)));
        List { data: rows.into_iter().map(T::from).collect(), next_cursor }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T: ToSchema> {
    pub data: Vec<T>,
    /// Gets the next page; null on the last one.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_row_makes_a_cursor() {
        let page = Page::<i64>::parse("n", Some(2), None).unwrap();
        let list: List<i64> = page.list(vec![9_i64, 8, 7], |row| *row);
        assert_eq!(list.data, [9, 8]);
        let next = Page::<i64>::parse("n", Some(2), list.next_cursor.as_deref()).unwrap();
        assert_eq!(next.after, Some(8));
        let last: List<i64> = next.list(vec![7_i64], |row| *row);
        assert_eq!((last.data, last.next_cursor), (vec![7], None));
        for limit in [0, 101] {
            assert!(Page::<i64>::parse("n", Some(limit), None).is_err());
        }
        assert!(Page::<i64>::parse("n", None, Some("x")).is_err());
    }
}
