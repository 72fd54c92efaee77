//! The bars of a song, in pages that copies share: to copy a song of hours, to change a bar of the copy and to find what
//! differs takes about the square root of what looking at each bar would. Pure.

use super::LedgerBar;
use crate::music::Ticks;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// 128 bars of 4/4: about as many as there are pages in a song of hours.
const PAGE: Ticks = 128 * 48;

type Page = BTreeMap<Ticks, Arc<LedgerBar>>;

/// Bars by where they begin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bars {
    /// By their number. None is empty.
    pages: BTreeMap<Ticks, Arc<Page>>,
}

impl Bars {
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub fn get(&self, start: Ticks) -> Option<&Arc<LedgerBar>> {
        self.pages.get(&number(start))?.get(&start)
    }

    pub fn get_mut(&mut self, start: Ticks) -> Option<&mut Arc<LedgerBar>> {
        let page = self.pages.get_mut(&number(start)).filter(|page| page.contains_key(&start))?;
        Arc::make_mut(page).get_mut(&start)
    }

    /// In the order of the song.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<LedgerBar>> {
        self.pages.values().flat_map(|page| page.values())
    }

    /// The bars that begin before `end`, in order.
    pub fn before(&self, end: Ticks) -> impl DoubleEndedIterator<Item = &Arc<LedgerBar>> {
        let pages = self.pages.range(..=number(end));
        pages.flat_map(move |(_, page)| page.range(..end)).map(|(_, entry)| entry)
    }

    /// What was in its place.
    pub fn insert(&mut self, start: Ticks, entry: Arc<LedgerBar>) -> Option<Arc<LedgerBar>> {
        Arc::make_mut(self.pages.entry(number(start)).or_default()).insert(start, entry)
    }

    pub fn remove(&mut self, start: Ticks) -> Option<Arc<LedgerBar>> {
        let page = self.pages.get_mut(&number(start)).filter(|page| page.contains_key(&start))?;
        let removed = Arc::make_mut(page).remove(&start);
        if page.is_empty() {
            self.pages.remove(&number(start));
        }
        removed
    }

    /// Changes those of the bars that begin in a range and that it concerns.
    pub fn change(
        &mut self,
        starts: &Range<Ticks>,
        concerns: impl Fn(&LedgerBar) -> bool,
        change: impl Fn(&mut LedgerBar),
    ) {
        let concerned = |start: &Ticks, entry: &Arc<LedgerBar>| starts.contains(start) && concerns(entry);
        for page in self.pages.values_mut().filter(|page| page.iter().any(|(start, entry)| concerned(start, entry))) {
            for (_, entry) in Arc::make_mut(page).iter_mut().filter(|(start, entry)| concerned(start, entry)) {
                change(Arc::make_mut(entry));
            }
        }
    }

    pub fn retain(&mut self, stays: impl Fn(&LedgerBar) -> bool) {
        for page in self.pages.values_mut().filter(|page| !page.values().all(|entry| stays(entry))) {
            Arc::make_mut(page).retain(|_, entry| stays(entry));
        }
        self.pages.retain(|_, page| !page.is_empty());
    }

    /// Where bars begin that the two hold differently, each with what this one holds.
    pub fn differences(&self, other: &Self) -> Vec<(Ticks, Option<Arc<LedgerBar>>)> {
        let differs = |number: &Ticks| match (self.pages.get(number), other.pages.get(number)) {
            (Some(page), Some(others)) => !Arc::ptr_eq(page, others),
            (one, another) => one.is_some() || another.is_some(),
        };
        let only_there = other.pages.keys().filter(|number| !self.pages.contains_key(*number));
        let numbers = self.pages.keys().chain(only_there).filter(|number| differs(number));
        numbers.flat_map(|number| differences(self.page(*number), other.page(*number))).collect()
    }

    /// Bars in pages that the two have each for themselves, and those of these bars that they do not share either.
    #[cfg(test)]
    pub fn not_shared_with(&self, other: &Self) -> (usize, usize) {
        let own = self
            .pages
            .iter()
            .filter(|(number, page)| other.pages.get(number).is_none_or(|others| !Arc::ptr_eq(page, others)));
        own.fold((0, 0), |(looked_at, written), (number, page)| {
            let others = other.page(*number);
            let is_own = |(start, entry): &(&Ticks, &Arc<LedgerBar>)| {
                others.get(start).is_none_or(|shared| !Arc::ptr_eq(entry, shared))
            };
            (looked_at + page.len(), written + page.iter().filter(is_own).count())
        })
    }

    fn page(&self, number: Ticks) -> &Page {
        static EMPTY: Page = Page::new();
        self.pages.get(&number).map_or(&EMPTY, Arc::as_ref)
    }
}

/// Of the page in which a bar stands that begins here.
fn number(start: Ticks) -> Ticks {
    start.div_euclid(PAGE)
}

fn differences(page: &Page, other: &Page) -> Vec<(Ticks, Option<Arc<LedgerBar>>)> {
    let of_this = page.iter().filter(|(start, entry)| {
        other.get(*start).is_none_or(|others| !Arc::ptr_eq(entry, others) && entry != &others)
    });
    let of_other = other.keys().filter(|start| !page.contains_key(*start));
    let of_this = of_this.map(|(start, entry)| (*start, Some(entry.clone())));
    of_this.chain(of_other.map(|start| (*start, None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::{Bar, BarIndex, Meter};
    use proptest::prelude::*;

    /// A bar that its number tells from others.
    fn entry(start: Ticks, number: i32) -> Arc<LedgerBar> {
        Arc::new(LedgerBar::new(Bar { index: BarIndex(number), start, meter: Meter::COMMON }))
    }

    #[derive(Debug, Clone)]
    enum Act {
        Insert(Ticks, i32),
        Remove(Ticks),
        Renumber(Ticks, i32),
        Change(Range<Ticks>, i32),
        Forget(Range<Ticks>),
        /// What is there now is remembered.
        Copy,
    }

    /// Some places near the ends of pages, left of zero too, and anywhere.
    fn place() -> impl Strategy<Value = Ticks> {
        prop_oneof![
            (-3..4, -2..3).prop_map(|(page, by)| page * PAGE + by),
            -3 * PAGE..3 * PAGE,
            Just(Ticks::MIN),
            Just(Ticks::MAX)
        ]
    }

    fn range() -> impl Strategy<Value = Range<Ticks>> {
        (place(), place()).prop_map(|(from, to)| from..to)
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            8 => (place(), 0..9).prop_map(|(start, number)| Act::Insert(start, number)),
            3 => place().prop_map(Act::Remove),
            3 => (place(), 0..9).prop_map(|(start, number)| Act::Renumber(start, number)),
            2 => (range(), 0..9).prop_map(|(starts, number)| Act::Change(starts, number)),
            1 => range().prop_map(Act::Forget),
            1 => Just(Act::Copy),
        ]
    }

    /// What a map does that has no pages.
    fn perform(plain: &mut Page, act: &Act) {
        match act {
            Act::Insert(start, number) => {
                plain.insert(*start, entry(*start, *number));
            }
            Act::Remove(start) => {
                plain.remove(start);
            }
            Act::Renumber(start, number) => {
                plain.get_mut(start).into_iter().for_each(|old| *old = entry(*start, *number));
            }
            Act::Change(starts, number) => {
                let within = plain.iter_mut().filter(|(start, _)| starts.contains(*start));
                within.for_each(|(start, old)| *old = entry(*start, *number));
            }
            Act::Forget(starts) => plain.retain(|start, _| !starts.contains(start)),
            Act::Copy => {}
        }
    }

    fn perform_in_pages(bars: &mut Bars, act: &Act) {
        match act {
            Act::Insert(start, number) => {
                bars.insert(*start, entry(*start, *number));
            }
            Act::Remove(start) => {
                bars.remove(*start);
            }
            Act::Renumber(start, number) => {
                bars.get_mut(*start).into_iter().for_each(|old| Arc::make_mut(old).bar.index = BarIndex(*number));
            }
            Act::Change(starts, number) => {
                bars.change(starts, |_| true, |entry| entry.bar.index = BarIndex(*number));
            }
            Act::Forget(starts) => bars.retain(|entry| !starts.contains(&entry.bar.start)),
            Act::Copy => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pages_are_not_noticed(acts in prop::collection::vec(act(), 1..60), end in place()) {
            let (mut plain, mut bars) = (Page::new(), Bars::default());
            let mut copies = vec![(plain.clone(), bars.clone())];
            for act in &acts {
                perform(&mut plain, act);
                perform_in_pages(&mut bars, act);
                if matches!(act, Act::Copy) {
                    copies.push((plain.clone(), bars.clone()));
                }
            }
            prop_assert!(bars.iter().eq(plain.values()));
            prop_assert!(bars.iter().rev().eq(plain.values().rev()));
            prop_assert!(bars.before(end).eq(plain.range(..end).map(|(_, entry)| entry)));
            prop_assert!(bars.before(end).rev().eq(plain.range(..end).rev().map(|(_, entry)| entry)));
            prop_assert_eq!(bars.get(end), plain.get(&end));
            prop_assert_eq!(bars.is_empty(), plain.is_empty());
            for (copy, in_pages) in &copies {
                prop_assert!(in_pages.iter().eq(copy.values()), "a copy stays as it was");
                let mut expected = differences(copy, &plain);
                let mut found = in_pages.differences(&bars);
                expected.sort_by_key(|(start, _)| *start);
                found.sort_by_key(|(start, _)| *start);
                prop_assert_eq!(found, expected);
            }
        }
    }
}
