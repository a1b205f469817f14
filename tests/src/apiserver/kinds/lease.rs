//! Leases.

use k8s_openapi::api::coordination::v1 as coordination;
use serde_json::Value;

use super::{Strategy, decode_as};
use crate::apiserver::object;
use crate::apiserver::request::Subresource;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table};

pub(super) struct Leases;

impl Strategy for Leases {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        for field in ["acquireTime", "renewTime"] {
            check_micro_time(&sent["spec"][field])?;
        }
        decode_as::<coordination::Lease>(sent)
    }

    fn validate_create(&self, lease: &Value) -> Vec<FieldError> {
        let number = |field: &str| lease["spec"][field].as_i64();
        let mut errors = Vec::new();
        if let Some(seconds) = number("leaseDurationSeconds").filter(|&s| s <= 0) {
            errors.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
        }
        if let Some(count) = number("leaseTransitions").filter(|&n| n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid("spec.leaseTransitions", count, detail));
        }
        errors
    }

    fn validate_update(&self, _old: &Value, new: &Value, _part: Subresource) -> Vec<FieldError> {
        self.validate_create(new)
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn table(&self) -> Table {
        let holder =
            |o: &Value| object::str_at(o, &["spec", "holderIdentity"]).unwrap_or_default().to_owned();
        Table::new(vec![Column::text("Holder", holder), Column::age()])
    }
}

/// Times of this type are only read with exactly six digits of a second.
pub(super) fn check_micro_time(value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    let digits =
        text.split_once('.').map_or("", |(_, fraction)| fraction).chars().take_while(char::is_ascii_digit);
    if digits.count() == 6 && text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    Err(format!("parsing time {value} as \"2006-01-02T15:04:05.000000Z07:00\""))
}
