//! The queries of `docs/SQL.md` run as they are written, and say the same on both databases.

use crate::place::Place;
use crate::{Written, whole_story};

const DOCUMENT: &str = include_str!("../../../docs/SQL.md");

#[tokio::test]
async fn the_documented_queries_say_the_same_on_both_databases() {
    let written = Written::new(&whole_story().records).await;
    let [sqlite, postgres] = Place::all();
    written.project(&sqlite, false).await;
    written.project(&postgres, false).await;
    let queries: Vec<&str> = DOCUMENT
        .split("```sql")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().trim().trim_end_matches(';'))
        .collect();
    assert!(queries.len() >= 10, "{}", queries.len());
    for query in queries {
        let (one, other) = (sqlite.query(query).await, postgres.query(query).await);
        assert!(!one.is_empty(), "it finds nothing:\n{query}");
        assert_eq!(one, other, "{query}");
    }
}
