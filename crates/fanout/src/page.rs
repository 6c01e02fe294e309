/// Returns the `limit` entries with the smallest keys, in order: a page of what is kept in no order.
///
/// Keeps no more than twice the page, however many there are.
pub fn smallest_k<T, K: Ord>(
    entries: impl IntoIterator<Item = T>,
    limit: usize,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut page: Vec<T> = Vec::new();
    if limit == 0 {
        return page;
    }
    for entry in entries {
        page.push(entry);
        if page.len() >= limit.saturating_mul(2) {
            page.select_nth_unstable_by(limit, |a, b| key(a).cmp(&key(b)));
            page.truncate(limit);
        }
    }
    page.sort_unstable_by_key(&key);
    page.truncate(limit);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_smallest_in_order() {
        let mixed = [9, 3, 7, 1, 8, 2, 6, 4, 5, 0];
        for limit in 0..12 {
            let page = smallest_k(mixed, limit, |n| *n);
            let expected: Vec<i32> = (0..10).take(limit).collect();
            assert_eq!(page, expected, "{limit}");
        }
        assert_eq!(smallest_k(mixed, usize::MAX, |n| *n).len(), 10);
    }
}
