//! Reading columns: text and numbers become values that cannot be wrong, or the row is corrupt.

use hexline_model::Timestamp;
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row as _, Type};

/// Columns by `table.column`; the table is for the error text.
pub(crate) trait Columns {
    /// The value as the database has it.
    fn column<'r, T>(&'r self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Any> + Type<Any>;

    /// Text that has to be a `wanted`.
    fn parsed<T>(
        &self,
        column: &'static str,
        wanted: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: String = self.column(column)?;
        parse(&text).ok_or(StoreError::Corrupt { column, wanted })
    }

    /// Text that has to be a `wanted`, or nothing.
    fn parsed_if_any<T>(
        &self,
        column: &'static str,
        wanted: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.column(column)?;
        let Some(text) = text else { return Ok(None) };
        parse(&text)
            .map(Some)
            .ok_or(StoreError::Corrupt { column, wanted })
    }

    /// A time.
    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.column(column).map(Timestamp::from_millis)
    }

    /// A time, or nothing.
    fn time_if_any(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let ms: Option<i64> = self.column(column)?;
        Ok(ms.map(Timestamp::from_millis))
    }
}

impl Columns for AnyRow {
    fn column<'r, T>(&'r self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Any> + Type<Any>,
    {
        let name = column.rsplit('.').next().unwrap_or(column);
        self.try_get(name).map_err(|error| match error {
            sqlx::Error::ColumnDecode { .. } => StoreError::Corrupt {
                column,
                wanted: "value of its type",
            },
            error => StoreError::Other(Box::new(error)),
        })
    }
}
