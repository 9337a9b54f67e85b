//! One connection: what is asked and awaited, and what is sent on while the answers are on their
//! way.

use std::cell::{Cell as Flag, RefCell};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};
use usher_domain::ids::ServiceId;

use super::bound::Bound;
use super::{Purpose, Server, dialect, wait};
use crate::db::{Db, DbError, Params, Result, Row};
use crate::sql::Id as _;

/// Statements under way without anybody waiting; then the first of them is waited for.
const UNDER_WAY_MAX: usize = 256;

type UnderWay =
    Pin<Box<dyn Future<Output = std::result::Result<u64, tokio_postgres::Error>> + Send>>;

pub(crate) struct Connection {
    client: Arc<Client>,
    /// Prepared, by their text; the program has a fixed set of them.
    statements: RefCell<HashMap<Box<str>, Statement>>,
    /// Sent, in this order, and not heard of yet.
    under_way: RefCell<VecDeque<UnderWay>>,
    /// An answer that did not come may still come, in place of the next one's.
    broken: Flag<bool>,
    /// Longest wait for an answer.
    within: Duration,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(client: Client, within: Duration) -> Self {
        Self {
            client: Arc::new(client),
            statements: RefCell::default(),
            under_way: RefCell::default(),
            broken: Flag::new(false),
            within,
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.broken.get() && !self.client.is_closed()
    }

    /// Sends a statement and goes on; what became of it is told by whoever waits next.
    pub(crate) fn run_later(&self, sql: &str, params: impl Params) -> Result<()> {
        let running = self.running(sql, params)?;
        self.send(running)
    }

    /// How many rows a statement changed.
    pub(crate) fn count(&self, sql: &str, params: impl Params) -> Result<usize> {
        let running = self.running(sql, params)?;
        Ok(usize::try_from(self.answer(running)?).unwrap_or(usize::MAX))
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let (mut read, mut found) = (Some(read), None);
        self.each(sql, params, |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    pub(crate) fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let statement = self.prepared(sql)?;
        let bound = bound(params);
        let rows =
            self.answer(Box::pin(async { self.client.query_raw(&statement, &bound).await }))?;
        let mut rows = pin!(rows);
        while let Some(row) = self.awaited(rows.try_next())? {
            take(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    /// As [`Self::each`], with whole arrays bound, none of which is copied.
    pub(crate) fn arrays(
        &self,
        sql: &str,
        arrays: &[Array<'_>],
        mut take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let statement = self.prepared(sql)?;
        let asked = Box::pin(async { self.client.query_raw(&statement, arrays).await });
        let rows = self.answer(asked)?;
        let mut rows = pin!(rows);
        while let Some(row) = self.awaited(rows.try_next())? {
            take(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    /// Several statements without values.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.answer(Box::pin(self.client.batch_execute(sql)))
    }

    fn batch_later(&self, sql: &'static str) -> Result<()> {
        let client = Arc::clone(&self.client);
        self.send(Box::pin(async move { client.batch_execute(sql).await.map(|()| 0) }))
    }

    /// What was sent without waiting has been done; the first failure of it.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(first) = self.first_under_way() {
            let heard = self.awaited(first).map(drop);
            outcome = outcome.and(heard);
        }
        outcome
    }

    fn first_under_way(&self) -> Option<UnderWay> {
        self.under_way.borrow_mut().pop_front()
    }

    fn send(&self, mut running: UnderWay) -> Result<()> {
        if self.under_way.borrow().len() >= UNDER_WAY_MAX {
            self.settle()?;
        }
        if let Some(done) = wait::send(&mut running) {
            return Ok(done.map(drop)?);
        }
        self.under_way.borrow_mut().push_back(running);
        Ok(())
    }

    /// Sends, hears what is under way in the order it was sent, then this.
    fn answer<T>(
        &self,
        mut asking: Pin<
            Box<dyn Future<Output = std::result::Result<T, tokio_postgres::Error>> + '_>,
        >,
    ) -> Result<T> {
        let at_once = wait::send(&mut asking);
        self.settle()?;
        match at_once {
            Some(done) => Ok(done?),
            None => self.awaited(asking),
        }
    }

    fn awaited<T>(
        &self,
        future: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        if self.broken.get() {
            return Err(DbError::Late);
        }
        if let Some(done) = wait::until_done(future, self.within) {
            return Ok(done?);
        }
        self.broken.set(true);
        Err(DbError::Late)
    }

    fn running(&self, sql: &str, params: impl Params) -> Result<UnderWay> {
        let (client, statement) = (Arc::clone(&self.client), self.prepared(sql)?);
        let bound = bound(params);
        Ok(Box::pin(async move { client.execute_raw(&statement, &bound).await }))
    }

    fn prepared(&self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let translated = dialect::translated(sql);
        let preparing = Box::pin(async { self.client.prepare(&translated).await });
        let statement = self.answer(preparing)?;
        self.statements.borrow_mut().insert(sql.into(), statement.clone());
        Ok(statement)
    }
}

/// Many values of one kind, or one number among them.
#[derive(Debug)]
pub(crate) enum Array<'a> {
    Ids(&'a [[u8; 16]]),
    Ints(&'a [i64]),
    Texts(&'a [&'a str]),
    Blobs(&'a [&'a [u8]]),
    One(i64),
}

impl ToSql for Array<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Self::Ids(ids), &Type::BYTEA_ARRAY) => {
                ids.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>().to_sql(ty, out)
            }
            (Self::Ints(numbers), &Type::INT8_ARRAY) => numbers.to_sql(ty, out),
            (Self::Texts(texts), &Type::TEXT_ARRAY) => texts.to_sql(ty, out),
            (Self::Blobs(blobs), &Type::BYTEA_ARRAY) => blobs.to_sql(ty, out),
            (Self::One(number), &Type::INT8) => number.to_sql(ty, out),
            (Self::Ids(_) | Self::Ints(_) | Self::Texts(_) | Self::Blobs(_) | Self::One(_), _) => {
                Err(format!("an array is bound where {ty} is meant").into())
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn bound(params: impl Params) -> Vec<Bound> {
    params.with(|values| values.iter().map(Bound::from).collect())
}

/// A connection of one's own, made anew between two transactions when it broke.
#[derive(Debug)]
pub(crate) struct Own {
    server: Arc<Server>,
    purpose: Purpose,
    at: RefCell<Option<Connection>>,
    in_transaction: Flag<bool>,
}

impl Own {
    pub(crate) fn new(server: Arc<Server>, purpose: Purpose) -> Self {
        Self { server, purpose, at: RefCell::default(), in_transaction: Flag::new(false) }
    }

    pub(crate) fn with<T>(&self, run: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let usable = self.at.borrow().as_ref().is_some_and(Connection::is_usable);
        if !usable && !self.in_transaction.get() {
            self.at.replace(None);
            self.at.replace(Some(self.server.connect(self.purpose)?));
        }
        run(self.at.borrow().as_ref().ok_or(DbError::Gone)?)
    }

    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<()> {
        if self.in_transaction.get() {
            return self.with(|connection| connection.run_later(sql, params));
        }
        self.with(|connection| connection.count(sql, params).map(drop))
    }

    pub(crate) const fn is_of_the_archive(&self) -> bool {
        matches!(self.purpose, Purpose::Archive)
    }

    pub(crate) fn begin(&self) -> Result<Transaction<'_>> {
        self.with(|connection| connection.batch_later("BEGIN"))?;
        self.in_transaction.set(true);
        Ok(Transaction { own: self, ended: false })
    }
}

/// Ends the connection of whoever is changing what is projected of a service: each transaction that does
/// begins with the service's row in `positions`, whose `xmax` it then is.
const FREE: &str = "
SELECT pg_terminate_backend(holds.pid)
FROM positions JOIN pg_locks AS holds
  ON holds.locktype = 'transactionid' AND holds.granted AND holds.mode = 'ExclusiveLock'
    AND holds.transactionid = positions.xmax
WHERE positions.service = ?1 AND holds.pid <> pg_backend_pid()";

/// To be called by who has taken the service over: who had it may sleep in the middle of a change, and
/// would be waited for. What is cut off is not lost, since the archive follows from the journal.
pub(crate) fn free_archive(db: &Db, service: ServiceId) {
    if let Err(error) = db.each(FREE, [service.blob()], |_| Ok(())) {
        // Another user's connection, perhaps; it ends in a few seconds.
        tracing::warn!(%error, "who had the archive before is waited for");
    }
}

/// Everything between its begin and its end.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    own: &'a Own,
    ended: bool,
}

impl Transaction<'_> {
    pub(crate) fn commit(mut self) -> Result<()> {
        // A commit after a failed statement takes everything back, and the failure is told here.
        self.own.with(|connection| connection.batch("COMMIT"))?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.own.in_transaction.set(false);
        if self.ended {
            return;
        }
        let at = self.own.at.borrow();
        let Some(connection) = at.as_ref() else { return };
        // What failed was told already.
        connection.settle().ok();
        if let Err(error) = connection.batch("ROLLBACK") {
            tracing::debug!(%error, "a transaction could not be taken back");
            connection.broken.set(true);
        }
    }
}
