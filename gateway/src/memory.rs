//! Which allocator the program has, and how much it says is allocated.

#[cfg(all(feature = "jemalloc", not(debug_assertions)))]
mod jemalloc {
    use tikv_jemalloc_ctl::{Error, epoch, stats};
    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    pub(super) fn allocated() -> Result<usize, Error> {
        // What is read is as of the last of these.
        epoch::advance()?;
        stats::allocated::read()
    }
}

/// Bytes that are allocated and not freed.
#[cfg(all(feature = "jemalloc", not(debug_assertions)))]
pub(crate) fn allocated() -> Option<usize> {
    let allocated = jemalloc::allocated();
    let told = |error: &_| tracing::debug!(%error, "the allocator did not say what it holds");
    allocated.inspect_err(told).ok()
}

/// The C library's does not say.
#[cfg(not(all(feature = "jemalloc", not(debug_assertions))))]
pub(crate) fn allocated() -> Option<usize> {
    None
}
